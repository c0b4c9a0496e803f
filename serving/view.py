"""One file as a catalogue: look at it, decide what to compute, say so, stream it as ``view``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from qmachina import market
from qmachina.errors import DataError, MissingError, RefusedError
from qmachina.market import PRICE_SCALE, Action, Flag
from qmachina.pipeline import Pipeline
from qmachina.sources.select import BookSource
from qmachina.sources.ticks import infer_tick_size
from qmachina.specs.instrument import InstrumentSpec, ProductType
from qmachina.specs.library import SpecLibrary
from qmachina.specs.serving import ServingSpec
from serving import frames
from serving.catalogue import Listed, Offer, Tape, local_ns

#: What the file is streamed as.
NAME = "view"
#: The authored serving spec that is applied to any file.
SERVING = "vacuum_pressure"
SPECS = Path(__file__).parents[1] / "qmachina_assets" / "specs"

#: Fewer records a second than this fill bins of 100 ms too thinly.
_BUSY_PER_S = 20.0
#: Bins a second that the eye follows; the default speed is chosen for it.
_BINS_PER_S = 20.0
_PRODUCTS: dict[str, tuple[ProductType, str]] = {
    "GLBX": ("future_mbo", "America/Chicago"),
    "IFEU": ("future_mbo", "Europe/London"),
    "XEUR": ("future_mbo", "Europe/Berlin"),
    "BITSTAMP": ("crypto_mbo", "UTC"),
}


class _Counted(BookSource):
    """A book whose one reading also counts what is needed to choose bins and start."""

    records = 0
    live_records = 0
    first_ns = 0
    live_from_ns = 0
    last_ns = 0
    starts_synced = False

    def chunks(self) -> Iterator[NDArray]:
        """Yield the records, counted."""
        for records in super().chunks():
            live = (records["flags"] & Flag.SNAPSHOT) == 0
            live &= records["action"] != Action.CLEAR
            n_live = int(np.count_nonzero(live))
            if not self.records:
                head = records[0]
                self.first_ns = int(head["ts_recv"])
                self.starts_synced = bool(head["flags"] & Flag.SNAPSHOT) or (
                    head["action"] == Action.CLEAR
                )
            if n_live and not self.live_records:
                self.live_from_ns = int(records["ts_recv"][live.argmax()])
            self.last_ns = int(records["ts_recv"][-1])
            self.records += len(records)
            self.live_records += n_live
            yield records


@dataclass(frozen=True)
class Choice:
    """What the viewer was told, None where it is to choose.

    Parameters
    ----------
    instrument : str or None
        Instrument id or raw symbol.
    publisher : int or None
        Publisher id.
    tick_size : str or None
        In currency.
    cell_ms, radius : int or None
        Bin width, ms; ticks each way.
    start : str or None
        Exchange-local time of day.
    """

    instrument: str | None = None
    publisher: int | None = None
    tick_size: str | None = None
    cell_ms: int | None = None
    radius: int | None = None
    start: str | None = None


class FileCatalogue:
    """One file, offered under the name ``view``.

    The file is read once to its end, so that a damaged or ambiguous one is refused here and
    not in the middle of a stream.

    Parameters
    ----------
    path : Path
        DBN file of the mbo schema.
    choice : Choice
        What was asked for.

    Raises
    ------
    QMachinaError
        If the file cannot be viewed.

    Attributes
    ----------
    notes : tuple of str
        What was assumed, one sentence each, for the terminal.
    default_speed : float
        Speed at which bins pass at a pace that the eye follows.
    """

    def __init__(self, path: Path, choice: Choice) -> None:
        self._path = path
        self._choice = choice
        notes: list[str] = []
        seen = _Counted(path, choice.instrument, choice.publisher)
        tick = _tick_size(seen, choice.tick_size, notes)
        self._instrument = _instrument(seen, tick)
        # The reader must name the same book again without guessing.
        self._book = (seen.instrument_id, seen.publisher_id)
        self._serving = _serving(seen, choice, notes)
        Pipeline(self._serving, self._instrument)  # refuses what the model does not accept
        began = seen.live_from_ns or seen.first_ns
        self._dt = datetime.fromtimestamp(began / 1e9, UTC).date()
        self._without_bins = "the recording is shorter than one bin: there is nothing to draw"
        if not seen.live_records:
            self._without_bins = (
                f"the file holds a snapshot of {seen.records} records and nothing after it: "
                "there is no bin to draw"
            )
            notes.append(self._without_bins)
        after = local_ns(choice.start, self._dt, self._instrument.time_zone)
        if after is not None and after >= seen.last_ns:
            raise RefusedError(
                "nothing is recorded after the start that was asked for",
                subject=path.name,
                expected=f"before {_clock(seen.last_ns, self._instrument)}",
                found=choice.start,
            )
        self._after = after
        self.notes = tuple(notes)
        bin_ms = self._serving.pipeline.silver.cell_width_ms
        self.default_speed = _BINS_PER_S * bin_ms / 1000

    def resolve(self, name: str) -> Offer:
        """Return the file's offer under its one name."""
        if name not in (NAME, self._serving.id):
            raise MissingError("there is no such serving", subject=repr(name), expected=NAME)
        spec = self._serving
        identity = frames.Serving(
            serving_name=NAME if name == NAME else None,
            serving_id=spec.id,
            display_name=spec.display_name,
            verdict="UNDECIDED",
            source=frames.Origin(run_id="", experiment_name="", promoted_at_utc="never"),
        )
        return Offer(spec.id, spec, self._instrument, identity, (self._dt,))

    def tape(self, offer: Offer, dt: date | None) -> Tape:
        """Open the file again."""
        del offer, dt
        return Tape(
            self._dt,
            self._open(),
            stream_after_ns=self._after,
            from_both_sides=self._after is None,  # who names a start gets that start
            without_bins=self._without_bins,
        )

    def _open(self) -> BookSource:
        return BookSource(self._path, *self._book)

    def version(self) -> int:
        """Return 0: nothing ever moves."""
        return 0

    def listing(self) -> Listed:
        """Return the one alias."""
        return Listed(aliases={NAME: self._serving.id})

    def prove(self, name: str) -> None:
        """Run the beginning of the file through the pipeline, which compiles the kernels."""
        del name
        source = self._open()
        pipeline = Pipeline(self._serving, self._instrument, subject=source.name)
        for records in source.chunks():
            for _ in pipeline.advance(records):
                return


def _tick_size(seen: _Counted, given: str | None, notes: list[str]) -> int:
    inferred = infer_tick_size(seen)
    text = market.price_text(inferred)
    if given is None:
        notes.append(f"tick size {text} inferred from the prices; give --tick-size to set it")
        return inferred
    tick = market.tick_size_int(given)
    if inferred % tick:
        raise DataError(
            "prices are off the tick grid",
            subject=seen.name,
            expected=f"multiples of {given}",
            found=f"multiples of {text}",
            remedy=f"The largest tick size that fits is {text}",
        )
    return tick


def _instrument(seen: _Counted, tick: int) -> InstrumentSpec:
    venue = seen.header.dataset.split(".")[0]
    product, zone = _PRODUCTS.get(venue, ("equity_mbo", "America/New_York"))
    symbol = re.sub(r"[^A-Za-z0-9._]+", "_", seen.symbol or f"id{seen.instrument_id}").strip("_.")
    dataset = seen.header.dataset.upper()
    return InstrumentSpec.parse(
        {
            "product_type": product,
            "symbol": symbol or "unnamed",
            "root": symbol or "unnamed",
            "dataset": dataset if re.fullmatch(r"[A-Z0-9]+\.[A-Z0-9]+", dataset) else "FILE.DBN",
            "publisher": seen.publisher_id or None,
            "tick_size": Decimal(tick) / PRICE_SCALE,
            "calendar": "24/7",
            "time_zone": zone,
        },
        subject=seen.name,
    )


def _serving(seen: _Counted, choice: Choice, notes: list[str]) -> ServingSpec:
    authored = SpecLibrary([SPECS]).serving(SERVING)
    silver = authored.pipeline.silver.canonical()
    seconds = max((seen.last_ns - seen.live_from_ns) * 1e-9, 1.0)
    rate = seen.live_records / seconds
    if choice.cell_ms is not None:
        silver["cell_width_ms"] = choice.cell_ms
    elif seen.live_records and rate < _BUSY_PER_S:
        silver["cell_width_ms"] = 1000
        notes.append(f"bins of 1 s, because there are {rate:.2g} records a second; see --cell-ms")
    if choice.radius is not None:
        silver["grid_radius_ticks"] = choice.radius
        least = 8 * (choice.radius + 2)
        silver["n_absolute_ticks"] = max(silver["n_absolute_ticks"], least)
    if not seen.starts_synced:
        silver["assume_synced_after"] = 0.0
        notes.append(
            "the recording starts in mid-session without a snapshot: depth is what was added "
            "since, taken as complete from the first record"
        )
    pipeline = authored.pipeline.canonical() | {"name": NAME, "silver": silver}
    return ServingSpec.parse(
        authored.canonical() | {"name": NAME, "pipeline": pipeline, "display_name": seen.name[:80]},
        subject=seen.name,
    )


def _clock(time_ns: int, instrument: InstrumentSpec) -> str:
    return f"{datetime.fromtimestamp(time_ns / 1e9, ZoneInfo(instrument.time_zone)):%H:%M}"
