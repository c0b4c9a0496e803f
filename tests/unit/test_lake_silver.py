"""A real day of silver goes through the lake without a bit changing."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import numpy as np

from qmachina.fields import Chunk, concat
from qmachina.grid.engine import Engine
from qmachina.grid.fields import BIN_FIELDS, GRID_FIELDS
from qmachina.lake.contract import Table
from qmachina.lake.layout import DatasetKey, raw_folder
from qmachina.lake.manifest import ManifestDraft, hash_file
from qmachina.lake.raw import find_raw
from qmachina.lake.store import Lake
from qmachina.lake.writer import PartitionWriter
from qmachina.sessions.calendar import Calendar, require_session
from qmachina.sources.select import BookSource
from qmachina.specs.instrument import InstrumentSpec
from qmachina.specs.silver import SilverSpec

DAY = date(2025, 7, 17)
ARL = InstrumentSpec.parse(
    {
        "product_type": "equity_mbo",
        "symbol": "ARL",
        "root": "ARL",
        "dataset": "XNAS.ITCH",
        "tick_size": "0.01",
        "calendar": "XNAS",
        "time_zone": "America/New_York",
    }
)


def test_a_real_day_survives_the_lake(real_data: Path, tmp_path: Path) -> None:
    require_session(Calendar.load(ARL.calendar), DAY)
    folder = tmp_path / raw_folder(ARL)
    folder.mkdir(parents=True)
    shutil.copy(real_data / "real" / "xnas-itch-arl-20250717.mbo.dbn.zst", folder)
    raw = find_raw(tmp_path, ARL, DAY)
    spec = SilverSpec(cell_width_ms=10_000, grid_radius_ticks=20)
    tables = (Table.bins(BIN_FIELDS), Table.grid(GRID_FIELDS, spec.grid_radius_ticks))
    key = DatasetKey(
        layer="silver",
        dataset="grid",
        product_type=ARL.product_type,
        symbol=ARL.symbol,
        spec_slug="coarse",
        spec_id8=spec.id8,
        dt=DAY,
    )
    inputs = {"raw/mbo_dbn": hash_file(raw), "instrument": ARL.id}
    lake, kept = Lake(tmp_path), []
    engine = Engine(spec, ARL.tick_size_int)
    with (
        lake.publish(ManifestDraft.of(key, spec, inputs, "1", tables)) as staging,
        PartitionWriter(staging.path, tables) as writer,
    ):
        for records in BookSource(raw).chunks():
            for chunk in engine.advance(records):
                writer.write(chunk)
                kept.append(
                    Chunk(
                        {k: v.copy() for k, v in chunk.bins.items()},
                        {k: v.copy() for k, v in chunk.grid.items()},
                    )
                )
    truth, back = concat(kept), lake.read_chunk(key, expect=tables)
    assert truth.n_bins > 3000
    assert back.bins.keys() == truth.bins.keys()
    assert back.grid.keys() == truth.grid.keys()
    assert all(v.tobytes() == truth.bins[k].tobytes() for k, v in back.bins.items())
    assert all(v.tobytes() == truth.grid[k].tobytes() for k, v in back.grid.items())
    assert np.array_equal(lake.read_numpy(key, "grid", ["k"])["k"][0], np.arange(-20, 21))
    lake.verify(key)
