"""One client's way along the stream: where it stands, what it is sent next, how it ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from serving import frames, wire
from serving.channel import Channel
from serving.metrics import Metrics

#: Bins sent in a row before others get their turn.
_BURST = 16
NORMAL, REFUSED, FAILED = 1000, 1008, 1011


class Outlet(Protocol):
    """The sending half of a WebSocket."""

    async def send_text(self, data: str) -> None:
        """Send one text message."""

    async def send_bytes(self, data: bytes) -> None:
        """Send one binary message."""


@dataclass(eq=False)
class Route:
    """Where a name leads; its clients follow when it leads elsewhere.

    Parameters
    ----------
    identity : frames.Serving
        The serving as addressed by this name.
    channel : Channel
        What it streams.
    """

    identity: frames.Serving
    channel: Channel
    #: The next channel and its identity, while it is warming up.
    successor: tuple[frames.Serving, Channel] | None = None
    clients: int = 0

    @property
    def config(self) -> frames.RuntimeConfig:
        """The opening frame; the channel must have opened."""
        assert self.channel.config is not None
        return self.channel.config.model_copy(update={"serving": self.identity})


@dataclass(eq=False)
class Subscription:
    """One client of a route.

    Parameters
    ----------
    route : Route
        What it asked for.
    backlog_bins : int
        Bins from the past it gets first.
    metrics : Metrics
        Counts skips and bins.
    """

    route: Route
    backlog_bins: int
    metrics: Metrics
    channel: Channel = field(init=False)
    acknowledged: int = -1
    _next: int = 0
    _resume: frames.Resume | None = None

    def __post_init__(self) -> None:
        self.channel = self.route.channel
        self.route.clients += 1
        self.channel.clients += 1

    def leave(self) -> None:
        """Give the place up."""
        self.route.clients -= 1
        self.channel.clients -= 1

    def hear(self, message: frames.ClientFrame) -> None:
        """Take what the client says."""
        if isinstance(message, frames.Ack):
            self.acknowledged = message.seq
        else:
            self._resume = message
            self.channel.wake()

    async def run(self, out: Outlet) -> tuple[int, str]:
        """Send until the stream ends; return the close code and reason."""
        while self.channel.config is None and self.channel.outcome is None:
            changed = self.channel.changed()
            if self.channel.config is None and self.channel.outcome is None:
                await changed.wait()
        if self.channel.config is not None:
            # The route's channel may be another by now: then the switch below follows.
            config = self.channel.config.model_copy(update={"serving": self._identity()})
            await out.send_text(config.encode())
        self._next = max(self.channel.first_seq, self.channel.next_seq - self.backlog_bins)
        in_a_row = 0
        while True:
            changed = self.channel.changed()
            if self._resume is not None:
                await self._go_back(out)
            elif self._must_switch():
                await self._switch(out)
            elif self._next < self.channel.next_seq:
                await self._send_bin(out)
                in_a_row += 1
                if in_a_row % _BURST == 0:
                    await asyncio.sleep(0)
            elif self.channel.outcome is not None:
                return await self._finish(out)
            else:
                in_a_row = 0
                await changed.wait()

    def _identity(self) -> frames.Serving:
        config = self.channel.config
        assert config is not None
        if self.channel is self.route.channel:
            return self.route.identity
        return config.serving

    async def _send_bin(self, out: Outlet) -> None:
        channel = self.channel
        if self._next < channel.first_seq:
            # Too slow for the ring. Not to its very end, where the next bin would fall off too.
            to = max(channel.first_seq, channel.next_seq - channel.ring_bins // 4)
            self.metrics.skip(to - self._next)
            await out.send_text(wire.skipped(self._next, to - 1).encode())
            self._next = to
            return
        made = channel[self._next]
        self._next += 1
        await out.send_text(made.text)
        await out.send_bytes(made.grid)
        self.metrics.sent_bins += 1

    async def _go_back(self, out: Outlet) -> None:
        asked, self._resume = self._resume, None
        channel = self.channel
        assert asked is not None
        if channel.config is None or asked.epoch != channel.config.epoch:
            return  # the epoch is gone; the client knows from runtime_config
        if not -1 <= asked.seq < channel.next_seq:
            return  # it cannot have had such a bin
        wanted = asked.seq + 1
        # Fixed before the gap is sent: what the ring loses meanwhile is no part of it.
        self._next = max(wanted, channel.first_seq)
        if wanted < self._next:
            await out.send_text(frames.Gap(from_seq=wanted, to_seq=self._next - 1).encode())

    def _must_switch(self) -> bool:
        """Tell whether the bin that is due to this client is the other channel's to give."""
        here, target = self.channel, self.route.channel
        if target is here or target.first_end_ns is None:
            return False
        if here.outcome is not None and self._next >= here.next_seq:
            return True  # nothing more comes here
        if here.first_end_ns is None:
            return False
        # Not earlier, although all may have been sent: what lies between would be lost.
        return here.begin_ns(self._next) >= target.begin_ns(0)

    async def _switch(self, out: Outlet) -> None:
        before, target = self.channel, self.route.channel
        before.clients -= 1
        self.channel = target
        target.clients += 1
        # The same place in time. The two replays race, so this bin may not have been made yet:
        # then it is waited for, and those before it, which the client has, are passed over.
        known = before.first_end_ns is not None
        self._next = target.seq_at(before.begin_ns(self._next)) if known else 0
        changed = frames.ServingChanged(runtime_config=self.route.config)
        await out.send_text(changed.encode())

    async def _finish(self, out: Outlet) -> tuple[int, str]:
        outcome = self.channel.outcome
        assert outcome is not None
        if outcome.failed:
            await out.send_text(wire.error(outcome.text).encode())
            return FAILED, outcome.text
        await out.send_text(frames.End(reason=outcome.text).encode())
        return NORMAL, outcome.text
