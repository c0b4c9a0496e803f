"""What can be streamed: names become offers, offers become tapes.

Two catalogues exist: the promoted versions of a lake, here, and one file, in `serving.view`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from qmachina.datasets.promotion import replay_golden
from qmachina.datasets.raw import carry_of, open_book
from qmachina.errors import LockError, MissingError, SpecError
from qmachina.lake.home import Home
from qmachina.lake.instrument import require_instrument
from qmachina.pipeline import Carry
from qmachina.registry.reader import RegistryReader, Version
from qmachina.sources.select import BookSource
from qmachina.specs.instrument import InstrumentSpec
from qmachina.specs.serving import PublishedServingSpec, ServingSpec
from qmachina.specs.silver import TIME_OF_DAY, seconds
from serving import frames


@dataclass(frozen=True)
class Offer:
    """A serving version that may be streamed.

    Parameters
    ----------
    id : str
        Its serving id.
    spec : ServingSpec
        What to compute.
    instrument : InstrumentSpec
        Of what.
    identity : frames.Serving
        What the page is told of it.
    dates : tuple of date
        Sessions it was evaluated on.
    """

    id: str
    spec: ServingSpec
    instrument: InstrumentSpec
    identity: frames.Serving
    dates: tuple[date, ...] = ()


@dataclass(frozen=True)
class Tape:
    """A recorded session, ready to be replayed.

    Parameters
    ----------
    dt : date
        Its date.
    source : BookSource
        Its records.
    start_ns, end_ns : int or None
        Range of bins, as the engine takes it.
    stream_after_ns : int or None
        Bins that end up to here are computed, not streamed.
    carry : Carry or None
        What the engine takes over from the session before.
    from_both_sides : bool
        Likewise the bins before the grid shows both sides of the book for the first time, if it
        ever does: a thin market may have one side, or none in reach, for hours.
    """

    dt: date
    source: BookSource
    start_ns: int | None = None
    end_ns: int | None = None
    stream_after_ns: int | None = None
    from_both_sides: bool = False
    carry: Carry | None = None
    #: Says why there is nothing to stream, if that comes to pass.
    without_bins: str = field(default="the file holds no bin")


@dataclass(frozen=True)
class Listed:
    """What `Catalogue.listing` says: all versions, and where each alias points."""

    versions: tuple[Version, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)


class Catalogue(Protocol):
    """Where offers and tapes come from. Methods may read disks; none blocks for long."""

    def resolve(self, name: str) -> Offer:
        """Return what a name stands for now; raise QMachinaError where it may not stream."""

    def tape(self, offer: Offer, dt: date | None) -> Tape:
        """Open the recording to replay: of a date, or of the offer's own choice."""

    def version(self) -> int:
        """Return a number that changes when any name might stand for something else."""

    def listing(self) -> Listed:
        """Return everything there is."""

    def prove(self, name: str) -> None:
        """Raise QMachinaError unless the name computes what was evaluated; compiles kernels."""


class LakeCatalogue:
    """The promoted versions of a home, replayed from its raw files.

    Parameters
    ----------
    home : Home
        Lake and instrument. Any other instrument is refused.
    dt : date, optional
        Session to replay; by default the latest that both was evaluated and has a raw file,
        else the latest that has one.
    start : str, optional
        Exchange-local time of day from which bins are streamed.
    """

    def __init__(self, home: Home, dt: date | None = None, start: str | None = None) -> None:
        self._home = home
        self._dt = dt
        self._start = start
        self._registry = RegistryReader(home.root)
        if dt is not None:
            home.session(dt)
            home.raw_file(dt)
        local_ns(start, dt or date.min, "UTC")  # a mistake is told before the process serves

    def resolve(self, name: str) -> Offer:
        """Return the version an alias or id stands for; its hash and instrument are checked."""
        found = self._registry.resolve(name)
        published = _published(found.body)
        home = self._home.instrument
        spec = published.instrument
        require_instrument(home, spec.product_type, spec.symbol)
        if spec.id != home.id:
            raise LockError(
                "the instrument file differs from the one that was evaluated",
                subject=name,
                expected=spec.id8,
                found=home.id8,
            )
        identity = frames.Serving(
            serving_name=found.alias,
            serving_id=found.version.id,
            display_name=published.serving.display_name or published.serving.name,
            verdict=found.version.verdict,
            source=frames.Origin(
                run_id=published.source.run_id,
                experiment_name=published.source.experiment_name,
                promoted_at_utc=found.version.published_at_utc,
            ),
        )
        return Offer(found.version.id, published.serving, home, identity, published.source.dates)

    def tape(self, offer: Offer, dt: date | None) -> Tape:
        """Open the raw file of a date; its bins are those of the offer's silver spec."""
        home = self._home
        day = dt or self._dt or self._latest(offer)
        start_ns, end_ns = home.bounds(offer.spec.pipeline.silver, day)
        source = open_book(home, home.raw_file(day))
        after = local_ns(self._start, day, home.instrument.time_zone)
        carry = carry_of(home, offer.spec.pipeline.silver, day)
        return Tape(day, source, start_ns, end_ns, after, carry=carry)

    def _latest(self, offer: Offer) -> date:
        days = {day for _, day in self._home.raw_files() if day is not None}
        if not days:
            raise MissingError(
                "there is no raw file to replay",
                subject=self._home.instrument.symbol,
                remedy=f"Put one into {self._home.raw_folder.name}, or run qmachina import",
            )
        return max(days.intersection(offer.dates) or days)

    def version(self) -> int:
        """Return the number of the registry's last entry."""
        return self._registry.version()

    def listing(self) -> Listed:
        """Return all published versions and aliases."""
        return Listed(self._registry.versions(), self._registry.aliases())

    def prove(self, name: str) -> None:
        """Replay the golden vectors of what a name stands for."""
        replay_golden(self._home, _published(self._registry.resolve(name).body))


def _published(body: dict[str, object]) -> PublishedServingSpec:
    plain = {key: value for key, value in body.items() if key != "id"}
    return PublishedServingSpec.parse(plain, subject="serving spec")


def local_ns(time_of_day: str | None, dt: date, time_zone: str) -> int | None:
    """Return an exchange-local time of day of a date as UTC nanoseconds; None stays None."""
    if time_of_day is None:
        return None
    if not re.fullmatch(TIME_OF_DAY, time_of_day):
        raise SpecError("not a time of day", subject="start", expected="HH:MM", found=time_of_day)
    midnight = datetime(dt.year, dt.month, dt.day, tzinfo=ZoneInfo(time_zone))
    moment = (midnight + timedelta(seconds=seconds(time_of_day))).astimezone(UTC)
    return int(moment.timestamp()) * 1_000_000_000
