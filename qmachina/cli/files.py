"""Commands on one file, without lake or Dagster: book, mbp, grid."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from qmachina import market
from qmachina.book.book import OrderBook
from qmachina.book.mbp import MarketByPrice
from qmachina.cli import output
from qmachina.cli.grid_files import moment_ns, write_grid
from qmachina.sources.select import BookSource
from qmachina.sources.ticks import infer_tick_size
from qmachina.specs.silver import SilverSpec

File = Annotated[
    Path, typer.Argument(help="A .dbn or .dbn.zst file of the mbo schema.", show_default=False)
]
Instrument = Annotated[
    str | None,
    typer.Option(help="Instrument id or raw symbol, when the file holds several."),
]
Publisher = Annotated[
    int | None, typer.Option(help="Publisher id, when the instrument has several.")
]
TickSize = Annotated[
    str | None, typer.Option(help="Tick size in currency. Default: inferred from the file.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("book")(book)
    app.command("mbp")(mbp)
    app.command("grid")(grid)


def tick_size_of(source: BookSource, given: str | None) -> int:
    """Return the tick size in 1e-9 units: the given one, else inferred, which is said aloud."""
    if given is not None:
        return market.tick_size_int(given)
    inferred = infer_tick_size(source)
    output.note(
        f"{source.name}: tick size {market.price_text(inferred)} inferred from the prices; "
        "give --tick-size to set it"
    )
    return inferred


def book(
    file: File,
    instrument: Instrument = None,
    publisher: Publisher = None,
    tick_size: TickSize = None,
    json: Json = False,
) -> None:
    """Replay one file through the order book and print its end state and anomalies."""
    source = BookSource(file, instrument, publisher)
    replay = OrderBook(tick_size_of(source, tick_size), subject=source.name)
    actions = np.zeros(256, np.int64)
    flags = np.zeros(256, np.int64)
    started = time.perf_counter()
    for records in source.chunks():
        replay.replay(records)
        actions += np.bincount(records["action"], minlength=256)
        flags += np.bincount(records["flags"], minlength=256)
    replay.finish()
    seconds = time.perf_counter() - started
    end = replay.summary()
    total = int(actions.sum())
    result: dict[str, Any] = {
        "file": source.name,
        "records": total,
        "actions": {chr(i): int(n) for i, n in enumerate(actions) if n},
        "symbol": source.symbol,
        "instrument_id": source.instrument_id,
        "publisher_id": source.publisher_id,
        "tick_size": market.price_text(replay.tick_size),
        **end,
        "flags": _by_bit(flags),
        "seconds": round(seconds, 6),
        "events_per_second": round(int(end["events"]) / seconds),  # type: ignore[call-overload]
        "records_per_second": round(total / seconds),
    }
    if json:
        output.as_json(result)
    else:
        for name in ("best_bid_price_int", "best_ask_price_int"):
            if result[name] is not None:
                result[name] = f"{result[name]} ({market.price_text(result[name])})"
        output.facts(f"Book at the end of {source.name}", result)


def _by_bit(flags: np.ndarray) -> dict[str, int]:
    """Return how many records carry each flag bit."""
    counts: Counter[str] = Counter()
    for value, n in enumerate(flags):
        for bit in market.Flag:
            if value & bit:
                counts[str(bit.name).lower()] += int(n)
    return {str(bit.name).lower(): counts[str(bit.name).lower()] for bit in market.Flag}


def mbp(
    file: File,
    out: Annotated[Path, typer.Option(help="Parquet file to write.", show_default=False)],
    levels: Annotated[int, typer.Option(min=1, max=1000, help="Levels a side.")] = 10,
    instrument: Instrument = None,
    publisher: Publisher = None,
    tick_size: TickSize = None,
    json: Json = False,
) -> None:
    """Write the book after every record, in the vendor's market-by-price columns."""
    source = BookSource(file, instrument, publisher)
    replay = MarketByPrice(tick_size_of(source, tick_size), levels=levels, subject=source.name)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    writer: pq.ParquetWriter | None = None
    try:
        for columns in replay.rows(source.chunks()):
            table = pa.table(columns)
            if writer is None:
                writer = pq.ParquetWriter(partial, table.schema, compression="zstd")
            writer.write_table(table)
            rows += table.num_rows
        if writer is not None:
            writer.close()
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    result = {"file": source.name, "out": str(out), "rows": rows, "levels": levels}
    if json:
        output.as_json(result)
    else:
        output.facts(f"Market by price of {source.name}", result)


def grid(
    file: File,
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.", show_default=False)],
    start: Annotated[
        str | None, typer.Option(help="First bin: HH:MM[:SS] in --time-zone, or an ISO time.")
    ] = None,
    end: Annotated[str | None, typer.Option(help="End of the last bin, as --start.")] = None,
    cell_ms: Annotated[int, typer.Option(help="Bin width in milliseconds.")] = 100,
    radius: Annotated[int, typer.Option(help="Ticks each way from spot.")] = 50,
    tick_size: TickSize = None,
    time_zone: Annotated[str, typer.Option(help="IANA zone of --start and --end.")] = "UTC",
    assume_synced_after: Annotated[
        float | None,
        typer.Option(help="Seconds after which a start without snapshot counts as synced."),
    ] = None,
    instrument: Instrument = None,
    publisher: Publisher = None,
    json: Json = False,
) -> None:
    """Replay one file into bins and the dense grid, as Parquet with a manifest."""
    source = BookSource(file, instrument, publisher)
    spec = SilverSpec.parse(
        {
            "cell_width_ms": cell_ms,
            "grid_radius_ticks": radius,
            "assume_synced_after": assume_synced_after,
        },
        subject="options",
    )
    moments = [moment_ns(t, source.header.start_ns, time_zone) for t in (start, end)]
    ticks = tick_size_of(source, tick_size)
    with output.progress("grid", source.name) as progress:
        manifest = write_grid(source, spec, ticks, out, moments[0], moments[1], progress)
    if json:
        output.as_json(manifest)
    else:
        shown = {k: manifest[k] for k in ("file", "symbol", "tick_size", "seconds")}
        output.facts(
            f"Grid of {source.name} in {out}",
            shown | manifest["counts"] | {"anomalies": manifest["anomalies"]},
        )
