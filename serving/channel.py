"""One replay as clients see it: a ring of encoded bins, and how it ended.

Lives on the event loop. Each client has a place in the ring and none has a queue: whatever a
client does costs the others and the replay nothing, and memory does not depend on clients.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serving import frames
from serving.metrics import Metrics
from serving.producer import Bin, Producer


@dataclass(frozen=True)
class Outcome:
    """How a replay ended."""

    failed: bool
    text: str


class Channel:
    """The bins of one producer.

    Parameters
    ----------
    producer : Producer
        Not started yet.
    ring_bins : int
        Bins to hold.
    metrics : Metrics
        Counts bins and lag.
    """

    def __init__(self, producer: Producer, ring_bins: int, metrics: Metrics) -> None:
        self.producer = producer
        self.config: frames.RuntimeConfig | None = None
        self.outcome: Outcome | None = None
        self.next_seq = 0
        self.first_end_ns: int | None = None
        self.last_end_ns = 0
        self.clients = 0
        self._ring: deque[Bin] = deque(maxlen=ring_bins)
        self._metrics = metrics
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Let the producer run."""
        self.producer.start(self)

    @property
    def first_seq(self) -> int:
        """Number of the oldest bin held; ``next_seq`` where none is."""
        return self._ring[0].seq if self._ring else self.next_seq

    def __getitem__(self, seq: int) -> Bin:
        return self._ring[seq - self._ring[0].seq]

    @property
    def ring_bins(self) -> int:
        """How many bins are held at most."""
        return self._ring.maxlen or 0

    def begin_ns(self, seq: int) -> int:
        """Return when a bin begins, whether it is held, gone or still to come.

        Bins are dense in time, so that numbers and times are one and the same once the first
        bin is known.
        """
        assert self.first_end_ns is not None
        return self.first_end_ns + (seq - 1) * self._bin_ns

    def seq_at(self, time_ns: int) -> int:
        """Return the number of the first bin that ends later, as `begin_ns` does."""
        return max(0, (time_ns - self.begin_ns(0)) // self._bin_ns)

    @property
    def _bin_ns(self) -> int:
        assert self.config is not None
        return self.config.bin_ns

    def changed(self) -> asyncio.Event:
        """Return an event that is set at the next change. Ask first, look, then wait."""
        return self._changed

    def wake(self) -> None:
        """Let everyone who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    # The listener: called from the producer's thread.

    def opened(self, config: frames.RuntimeConfig) -> None:
        """Take the opening frame."""
        self._soon(self._open, config)

    def closed_bin(self, made: Bin, lag_seconds: float, encode_seconds: float) -> None:
        """Take a bin."""
        self._soon(self._push, made, lag_seconds, encode_seconds)

    def ended(self, reason: str) -> None:
        """Take the end."""
        self._soon(self._close, Outcome(failed=False, text=reason))

    def failed(self, message: str) -> None:
        """Take a failure."""
        self._soon(self._close, Outcome(failed=True, text=message))

    def _soon(self, call: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:  # the loop is gone: the process is shutting down
            self.producer.stop()

    def _open(self, config: frames.RuntimeConfig) -> None:
        self.config = config
        self.wake()

    def _push(self, made: Bin, lag_seconds: float, encode_seconds: float) -> None:
        if self.first_end_ns is None:
            self.first_end_ns = made.end_ns
        self._ring.append(made)
        self.next_seq = made.seq + 1
        self.last_end_ns = made.end_ns
        self._metrics.bin(self.producer.offer.id, lag_seconds, encode_seconds)
        self.wake()

    def _close(self, outcome: Outcome) -> None:
        self.outcome = outcome
        if outcome.failed:
            self._metrics.failures += 1
        self.wake()
