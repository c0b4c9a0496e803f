"""One replay: the core's pipeline in a thread, paced, each bin encoded once.

The thread knows no client. It hands encoded bins to its listener and nothing can hold it up
but its own clock.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from qmachina.errors import QMachinaError, SchemaError
from qmachina.fields import Field
from qmachina.pipeline import FIXED_STREAM, Frame, Pipeline, grid_fields
from qmachina.specs.base import content_id
from serving import frames, wire
from serving.catalogue import Offer, Tape


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin as it goes to every client."""

    seq: int
    end_ns: int
    text: str
    grid: bytes


class Listener(Protocol):
    """Who hears of a replay; called from its thread."""

    def opened(self, config: frames.RuntimeConfig) -> None:
        """Before the first bin, or before the end of a tape without bins."""

    def closed_bin(self, made: Bin, lag_seconds: float, encode_seconds: float) -> None:
        """For each bin, on time: ``lag_seconds`` after it was due."""

    def ended(self, reason: str) -> None:
        """No more bins: the tape is over."""

    def failed(self, message: str) -> None:
        """No more bins: something is wrong with the tape or the code."""


class Clock:
    """When a bin is due: absolute deadlines from one anchor, so that delays do not add up.

    Parameters
    ----------
    speed : float or None
        Seconds of the market per second; None: everything is due at once.
    lead_bins : int
        First bins that are due at once.
    """

    def __init__(self, speed: float | None, lead_bins: int = 0) -> None:
        self.speed = speed
        self._lead = lead_bins
        self._anchor: tuple[float, int] | None = None

    def due(self, end_ns: int) -> float:
        """Return the monotonic time a bin is due; the first that is asked for is due now."""
        now = time.monotonic()
        if self.speed is None:
            return now
        if self._anchor is None or self._lead > 0:
            self._lead -= 1
            self._anchor = now, end_ns
        origin, origin_ns = self._anchor
        return origin + (end_ns - origin_ns) * 1e-9 / self.speed


class Producer:
    """The replay of one tape through one serving version.

    Parameters
    ----------
    offer : Offer
        What to compute.
    tape : Tape
        From which records.
    clock : Clock
        A successor takes over its predecessor's.
    position : callable
        Returns a time in ns; bins that end up to it are computed, not streamed. Asked for each
        bin until the first is streamed.

    Raises
    ------
    QMachinaError
        If the version cannot be set up: unknown columns, impossible pipeline.
    """

    def __init__(
        self, offer: Offer, tape: Tape, clock: Clock, position: Callable[[], int] = lambda: 0
    ) -> None:
        self.offer, self.tape, self.clock = offer, tape, clock
        self.epoch = secrets.token_hex(8)
        self._position = position
        self._stop = threading.Event()
        spec = offer.spec
        self._pipeline = self._new_pipeline()
        self._both_sides = tape.from_both_sides
        self._bin_fields = self._pipeline.bin_fields
        columns = _stream_columns(offer)
        self._columns = tuple(c.name for c in columns)
        radius = spec.pipeline.silver.grid_radius_ticks
        self._encoder = wire.ArrowEncoder(columns, radius)
        self._seq = 0
        self._thread: threading.Thread | None = None

    def _new_pipeline(self) -> Pipeline:
        tape = self.tape
        return Pipeline(
            self.offer.spec,
            self.offer.instrument,
            start_ns=tape.start_ns,
            end_ns=tape.end_ns,
            carry=tape.carry,
            subject=tape.source.name,
        )

    def start(self, listener: Listener) -> None:
        """Begin to replay, in a thread of its own."""
        name = f"replay {self.offer.id[:8]} {self.tape.dt}"
        self._thread = threading.Thread(target=self._run, args=(listener,), name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to stop at the next bin; it says nothing more."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join(seconds)

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread is not None and self._thread.is_alive()

    def config(self, state_hash: str) -> frames.RuntimeConfig:
        """Return the opening frame."""
        offer, spec = self.offer, self.offer.spec
        return wire.runtime_config(
            epoch=self.epoch,
            instrument=offer.instrument,
            bin_ns=spec.pipeline.silver.bin_ns,
            grid_radius_ticks=spec.pipeline.silver.grid_radius_ticks,
            grid_fields=self._encoder.fields,
            bin_fields=self._bin_fields,
            model=frames.Model(
                model_id=spec.model.model_id,
                params=spec.model.params.canonical(),
                warmup_bins=self._pipeline.model.warmup_bins,
            ),
            serving=offer.identity,
            source=frames.Source(kind="replay", dt=str(self.tape.dt), speed=self.clock.speed),
            visualization=spec.visualization.canonical(),
            state_hash=state_hash,
        )

    def _run(self, listener: Listener) -> None:
        try:
            self._replay(listener)
            if self._seq == 0 and self._both_sides:
                # It never did: then from the first bin, rather than nothing at all.
                self._both_sides = False
                self._pipeline = self._new_pipeline()
                self._replay(listener)
            if self._seq == 0:
                listener.opened(self.config(content_id(self._identity)))
                reason = self._nothing()
            else:
                reason = f"the session of {self.tape.dt} is over"
        except QMachinaError as e:
            if not self._stop.is_set():
                listener.failed(e.line())
        except Exception as e:  # whatever it is: clients must hear of it, never just silence
            if not self._stop.is_set():
                listener.failed(f"{self.tape.source.name}: internal error: {type(e).__name__}: {e}")
        else:
            if not self._stop.is_set():
                listener.ended(reason)

    def _replay(self, listener: Listener) -> None:
        for frame in self._frames():
            if not self._stream(frame, listener):
                return

    def _frames(self) -> Iterator[Frame]:
        source = self.tape.source
        for records in source.chunks():
            if self._stop.is_set():
                return
            yield from self._pipeline.advance(records)
        yield from self._pipeline.finish(source.header.covered_until_ns)

    def _nothing(self) -> str:
        after = self.tape.stream_after_ns
        if after is not None and self._pipeline.engine.clock <= after:
            return "the recording ends before the time that streaming was to start"
        return self.tape.without_bins

    def _stream(self, frame: Frame, listener: Listener) -> bool:
        """Hand on the bins of a frame when they are due; False once stopped."""
        outputs = self._pipeline.outputs(frame)
        ends = frame.silver.bins["bin_end_ns"].tolist()
        for i, end_ns in enumerate(ends):
            if self._stop.is_set():
                return False
            if self._seq == 0:
                if not self._begins_with(frame, i, end_ns):
                    continue
                listener.opened(self.config(self._hash(frame, i)))
            due = self.clock.due(end_ns)
            began = time.perf_counter()
            made = self._encode(frame, outputs, i, end_ns)
            encode_seconds = time.perf_counter() - began
            wait = due - time.monotonic()
            if wait > 0 and self._stop.wait(wait):
                return False
            listener.closed_bin(made, max(0.0, time.monotonic() - due), encode_seconds)
            self._seq += 1
        return True

    def _begins_with(self, frame: Frame, i: int, end_ns: int) -> bool:
        """Tell whether a bin may be the first to be streamed."""
        if end_ns <= max(self._position(), self.tape.stream_after_ns or 0):
            return False
        return not self._both_sides or self._shows_both_sides(frame, i)

    def _shows_both_sides(self, frame: Frame, i: int) -> bool:
        """Tell whether a valid book's spread is at most half the height of the grid."""
        bins = frame.silver.bins
        reach = (
            self.offer.spec.pipeline.silver.grid_radius_ticks * self.offer.instrument.tick_size_int
        )
        spread = int(bins["best_ask_price_int"][i]) - int(bins["best_bid_price_int"][i])
        return bool(bins["book_valid"][i]) and spread <= reach

    def _encode(self, frame: Frame, outputs: dict[str, NDArray], i: int, end_ns: int) -> Bin:
        row = {name: column[i] for name, column in frame.silver.bins.items()}
        values = {name: column[i] for name, column in outputs.items()}
        grid = {name: frame.column(name)[i] for name in self._columns if name != "k"}
        update = wire.grid_update(self._seq, row, values, self._bin_fields)
        return Bin(self._seq, end_ns, update.encode(), self._encoder.encode(grid))

    @property
    def _identity(self) -> dict[str, Any]:
        return {"serving": self.offer.spec.id, "instrument": self.offer.instrument.id}

    def _hash(self, frame: Frame, i: int) -> str:
        """Hash the specs and everything the three stages say of the first bin.

        Every remembered number shows in what a bin says, so replays of one version that begin
        at the same bin have equal hashes, and a drifted one has not.
        """
        digest = hashlib.sha256(content_id(self._identity).encode())
        for chunk in (frame.silver, frame.gold, frame.scores):
            for table in (chunk.bins, chunk.grid):
                for name in sorted(table):
                    digest.update(name.encode() + b"\0" + table[name][i].tobytes())
        return digest.hexdigest()


def _stream_columns(offer: Offer) -> tuple[Field, ...]:
    known = grid_fields(offer.spec, offer.instrument)
    unknown = [n for n in offer.spec.stream_schema if n not in known]
    if unknown:
        raise SchemaError(
            f"stream_schema names no such columns: {', '.join(unknown)}",
            subject=offer.spec.name,
        )
    fixed = [known[n] for n in FIXED_STREAM if n in known]
    return wire.grid_fields((*fixed, *(known[n] for n in offer.spec.stream_schema)))
