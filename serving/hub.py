"""Who streams what: routes from names to channels, and what happens when an alias moves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import date

from qmachina.errors import QMachinaError
from serving.catalogue import Catalogue, Offer, Tape
from serving.channel import Channel
from serving.metrics import Metrics
from serving.producer import Clock, Producer
from serving.settings import Settings
from serving.subscription import Route, Subscription

log = logging.getLogger("serving")

#: A stopped thread notices within one chunk of records.
_JOIN_S = 10.0


class Hub:
    """All streams of a process. Lives on the event loop; slow work happens in threads.

    Parameters
    ----------
    catalogue : Catalogue
        What names stand for.
    settings : Settings
        Speed, ring, grace.
    metrics : Metrics
        Where to count.
    moved : callable
        Called when the catalogue's version changed.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        settings: Settings,
        metrics: Metrics,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._catalogue = catalogue
        self._settings = settings
        self._metrics = metrics
        self._moved = moved
        self._routes: dict[str, Route] = {}
        #: Channels alive, with the time since which nobody needs them.
        self._channels: dict[Channel, float | None] = {}
        self._stopped: list[Producer] = []
        # Two clients that come at once must not start two producers.
        self._setting_up = asyncio.Lock()

    async def join(self, name: str) -> Subscription:
        """Return a new client's place on the stream of an alias or serving id.

        Raises
        ------
        QMachinaError
            If the name is unknown or what it stands for cannot be set up.
        """
        async with self._setting_up:
            route = self._routes.get(name)
            if route is None or not self._joinable(route.channel):
                offer, tape = await asyncio.to_thread(self._open, name, None)
                channel = self._running(offer.id, tape.dt)
                if channel is None:
                    channel = await self._start(offer, tape, self._new_clock())
                route = self._routes[name] = Route(offer.identity, channel)
            return Subscription(route, self._settings.backlog_bins, self._metrics)

    def leave(self, subscription: Subscription) -> None:
        """Take a client's place back."""
        subscription.leave()
        self._tidy()

    async def watch(self) -> None:
        """Follow the catalogue and stop what nobody needs, for ever."""
        seen: int | None = None
        while True:
            try:
                version = await asyncio.to_thread(self._catalogue.version)
                if version != seen:
                    seen = version
                    self._moved()
                    await self._follow()
                self._adopt()
                self._tidy()
            except QMachinaError as e:
                log.warning("%s", e.line())
            except Exception:
                log.exception("following the registry failed")
            await asyncio.sleep(self._settings.poll_seconds)

    async def close(self) -> None:
        """Stop all producers and wait for their threads."""
        for channel in list(self._channels):
            self._drop(channel)
        for producer in self._stopped:
            await asyncio.to_thread(producer.join, _JOIN_S)

    def _open(self, name: str, dt: date | None) -> tuple[Offer, Tape]:
        offer = self._catalogue.resolve(name)
        return offer, self._catalogue.tape(offer, dt)

    def _new_clock(self) -> Clock:
        return Clock(self._settings.speed, self._settings.lead_bins)

    async def _start(
        self, offer: Offer, tape: Tape, clock: Clock, position: Callable[[], int] = lambda: 0
    ) -> Channel:
        producer = await asyncio.to_thread(Producer, offer, tape, clock, position)
        channel = Channel(producer, self._settings.ring_bins, self._metrics)
        self._channels[channel] = None
        self._metrics.producers = len(self._channels)
        channel.start()
        return channel

    @staticmethod
    def _joinable(channel: Channel) -> bool:
        # A replay that is over and that nobody hears begins anew for the next client.
        return channel.outcome is None or channel.clients > 0

    def _running(self, serving_id: str, dt: date) -> Channel | None:
        for channel in self._channels:
            producer = channel.producer
            same = (producer.offer.id, producer.tape.dt) == (serving_id, dt)
            if same and self._joinable(channel):
                return channel
        return None

    async def _follow(self) -> None:
        """Start a successor for each alias that moved away from what its clients see."""
        async with self._setting_up:
            for name, route in list(self._routes.items()):
                if route.clients == 0 or route.identity.serving_name is None:
                    continue
                try:
                    await self._succeed(name, route)
                except QMachinaError as e:
                    log.warning("alias %s moved, its clients stay: %s", name, e.line())

    async def _succeed(self, name: str, route: Route) -> None:
        offer = await asyncio.to_thread(self._catalogue.resolve, name)
        current = route.channel
        if route.successor is not None:
            if route.successor[1].producer.offer.id == offer.id:
                return
            self._drop(route.successor[1])
            route.successor = None
        if current.producer.offer.id == offer.id:
            return
        # The same session from the same moment on, whatever date the new version prefers.
        tape = await asyncio.to_thread(self._catalogue.tape, offer, current.producer.tape.dt)
        channel = await self._start(
            offer, tape, current.producer.clock, lambda: current.last_end_ns
        )
        route.successor = offer.identity, channel

    def _adopt(self) -> None:
        """Lead routes to successors that are warm."""
        for name, route in self._routes.items():
            if route.successor is None:
                continue
            identity, channel = route.successor
            if channel.first_end_ns is not None:
                before, route.channel, route.identity = route.channel, channel, identity
                route.successor = None
                self._metrics.switches += 1
                before.wake()
            elif channel.outcome is not None:
                route.successor = None
                log.warning("alias %s moved, its clients stay: %s", name, channel.outcome.text)

    def _tidy(self) -> None:
        """Forget routes without clients; stop channels that were idle for the grace period."""
        self._routes = {name: route for name, route in self._routes.items() if route.clients}
        needed = {route.channel for route in self._routes.values()}
        needed |= {r.successor[1] for r in self._routes.values() if r.successor is not None}
        now = time.monotonic()
        for channel, idle_since in list(self._channels.items()):
            if channel.clients or channel in needed:
                self._channels[channel] = None
                continue
            since = now if idle_since is None else idle_since
            self._channels[channel] = since
            if channel.outcome is not None or now - since >= self._settings.grace_seconds:
                self._drop(channel)
        self._stopped = [p for p in self._stopped if p.alive]

    def _drop(self, channel: Channel) -> None:
        channel.producer.stop()
        self._channels.pop(channel, None)
        self._stopped.append(channel.producer)
        self._metrics.producers = len(self._channels)
