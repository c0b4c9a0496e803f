"""Check authored specs: each alone, and each serving spec on every instrument."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from qmachina.errors import QMachinaError, SpecError
from qmachina.features.geometry import Geometry
from qmachina.models import registry
from qmachina.pipeline import FIXED_STREAM, grid_fields
from qmachina.specs.instrument import InstrumentSpec
from qmachina.specs.library import SpecLibrary
from qmachina.specs.serving import ServingSpec


def problems_of(folders: Sequence[Path]) -> tuple[int, list[str]]:
    """Return how many specs were checked, and a line for everything that is wrong.

    Instruments are looked for beside each folder, in ``instruments``.
    """
    library = SpecLibrary(folders)
    problems: list[str] = []
    checked = 0
    instruments = []
    for path in sorted(p for f in folders for p in (f.parent / "instruments").glob("*.yaml")):
        checked += 1
        try:
            instruments.append(InstrumentSpec.from_yaml(path))
        except QMachinaError as e:
            problems.append(e.line())
    for name in library.names("pipelines"):
        checked += 1
        try:
            library.pipeline(name)
        except QMachinaError as e:
            problems.append(e.line())
    for name in library.names("servings"):
        checked += 1
        for instrument in instruments:
            try:
                require_streamable(library.serving(name, instrument.pipeline), instrument)
            except QMachinaError as e:
                problems.append(f"{name} on {instrument.symbol}: {e.line()}")
    for name in library.names("experiments"):
        checked += 1
        try:
            library.experiment(name, [date(2000, 1, 3)])
        except QMachinaError as e:
            problems.append(e.line())
    return checked, problems


def require_streamable(serving: ServingSpec, instrument: InstrumentSpec) -> None:
    """Raise SpecError unless the model accepts the grid and every streamed column exists."""
    silver = serving.pipeline.silver
    geometry = Geometry(silver.bin_ns, silver.grid_radius_ticks, instrument.tick_size_int)
    registry.build(serving.model, geometry)
    columns = grid_fields(serving, instrument)
    unknown = [n for n in serving.stream_schema if n not in columns or n in FIXED_STREAM]
    if unknown:
        raise SpecError(f"stream_schema names no such columns: {', '.join(unknown)}")
