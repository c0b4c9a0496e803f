"""qmachina bench: ratios against peers, measured in one interleaved run."""

from __future__ import annotations

from typing import Annotated

import typer

from qmachina.bench.compare import bench_engine
from qmachina.cli import output


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    bench = typer.Typer(
        help="Compare with peers in one interleaved run and print ratios.", no_args_is_help=True
    )
    bench.command("engine")(engine)
    app.add_typer(bench, name="bench")


def engine(
    records: Annotated[int, typer.Option(min=10_000, help="Records of the synthetic session.")] = (
        500_000
    ),
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Rounds; medians are printed.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Book and full engine against nautilus_trader's book alone, records a second."""
    result = bench_engine(records, rounds, output.note)
    if json:
        output.as_json(result)
        return
    speeds = result["records_per_second"]
    assert isinstance(speeds, dict)
    output.facts(
        f"Median of {rounds} rounds over {result['records']:,} records",
        {name: f"{v / 1e6:.2f} M records/s" for name, v in speeds.items()},
    )
    ratios = result["ratios"]
    assert isinstance(ratios, dict)
    output.facts(
        "Ratios within the run",
        {k: f"{r['median']:.2f}x ({r['min']:.2f} to {r['max']:.2f})" for k, r in ratios.items()},
    )
