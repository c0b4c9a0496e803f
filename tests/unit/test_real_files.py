"""The real files: end states, and the vendor's own ten-level book row by row."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import zstandard

from qmachina.book.book import OrderBook
from qmachina.book.mbp import MarketByPrice
from qmachina.cli import main
from qmachina.fields import concat
from qmachina.grid.engine import Engine
from qmachina.grid.invariants import SilverLaws
from qmachina.market import UNDEF_PRICE
from qmachina.sources.select import BookSource
from qmachina.specs.silver import SilverSpec
from tests.engine import copy, run_engine

ES, CENT = 250_000_000, 10_000_000
END_STATES = {
    "glbx-mdp3-esm4-20240508": (ES, 13_598, 976, 571, 5214_000_000_000, 5214_250_000_000, "valid"),
    "glbx-mdp3-esh4-20231224": (ES, 8_725, 892, 559, 4799_000_000_000, 4799_500_000_000, "valid"),
    "bitstamp-btcusd-20150501": (CENT, 426, 160, 183, 231_020_000_000, 231_050_000_000, "unsynced"),
}


@pytest.mark.parametrize("name", END_STATES)
def test_end_state(real_data, name):
    tick, orders, bids, asks, bid, ask, state = END_STATES[name]
    source = BookSource(real_data / "real" / f"{name}.mbo.dbn.zst")
    book = OrderBook(tick)
    for records in source.chunks():
        book.replay(records)
    book.finish()
    end = book.summary()
    assert (end["orders"], end["bid_levels"], end["ask_levels"]) == (orders, bids, asks)
    assert (end["best_bid_price_int"], end["best_ask_price_int"]) == (bid, ask)
    assert end["book_state"] == state


def answer_rows(path):
    """Yield the vendor's rows as (sequence, action, levels)."""
    with zstandard.open(path, "rb") as raw:
        for row in csv.DictReader(io.TextIOWrapper(raw)):
            levels = []
            for n in range(10):
                for side in ("bid", "ask"):
                    price = row[f"{side}_px_{n:02d}"]
                    levels += [
                        round(float(price) * 1e9) if price else UNDEF_PRICE,
                        int(row[f"{side}_sz_{n:02d}"]),
                        int(row[f"{side}_ct_{n:02d}"]),
                    ]
            yield int(row["sequence"]), row["action"], levels


def test_arl_equals_the_vendors_ten_levels(real_data):
    folder = real_data / "real"
    source = BookSource(folder / "xnas-itch-arl-20250717.mbo.dbn.zst")
    names = [
        f"{s}_{w}_{n:02d}" for n in range(10) for s in ("bid", "ask") for w in ("px", "sz", "ct")
    ]
    ours = {}
    for columns in MarketByPrice(CENT).rows(source.chunks()):
        levels = np.stack([columns[n] for n in names], axis=1).tolist()
        ours |= dict(
            zip(
                zip(columns["sequence"].tolist(), columns["action"].tolist(), strict=True),
                levels,
                strict=True,
            )
        )
    rows = list(answer_rows(folder / "xnas-itch-arl-20250717.mbp10-answer.csv.zst"))
    assert len(rows) == 3928
    wrong = [(s, a) for s, a, levels in rows if ours[s, a] != levels]
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "tick", "bins"),
    [
        ("glbx-mdp3-esm4-20240508", ES, 20),
        ("glbx-mdp3-esh4-20231224", ES, 0),
        ("xnas-itch-arl-20250717", CENT, 49_371),
        ("bitstamp-btcusd-20150501", CENT, 86_396),
    ],
)
def test_grid_of_real_files_obeys_the_laws(real_data, name, tick, bins):
    width = 100 if name.startswith("glbx") else 1000
    spec = SilverSpec(cell_width_ms=width, assume_synced_after=600.0)
    source = BookSource(real_data / "real" / f"{name}.mbo.dbn.zst")
    engine, laws, n = Engine(spec, tick), SilverLaws(tick, spec.bin_ns), 0
    for records in source.chunks():
        for chunk in engine.advance(records):
            laws.check(chunk)
            n += chunk.n_bins
    for chunk in engine.finish(source.header.covered_until_ns):
        laws.check(chunk)
        n += chunk.n_bins
    assert n == bins


def test_chunks_of_a_real_file_do_not_matter(real_data):
    source = BookSource(real_data / "real" / "xnas-itch-arl-20250717.mbo.dbn.zst")
    records = concat_records(source)
    spec = SilverSpec(cell_width_ms=60_000)
    _, whole = run_engine(records, spec, tick_size=CENT)
    cuts = sorted({0, len(records), *np.random.default_rng(1).integers(0, len(records), 200)})
    _, pieces = run_engine(records, spec, cuts=cuts, tick_size=CENT)
    for name in whole.grid:
        assert whole.grid[name].tobytes() == pieces.grid[name].tobytes(), name


def concat_records(source):
    return np.concatenate([c.copy() for c in source.chunks()])


def test_book_command_reports_the_end_state(real_data, capsys):
    path = real_data / "real" / "glbx-mdp3-esm4-20240508.mbo.dbn.zst"
    assert main.run(["book", str(path), "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["records"] == 13_796
    assert out["actions"] == {"A": 13_678, "C": 80, "F": 5, "M": 27, "R": 1, "T": 5}
    assert (out["symbol"], out["instrument_id"], out["publisher_id"]) == ("ESM4", 5602, 1)
    assert out["flags"]["last"] == 185
    assert out["book_state"] == "valid"


def test_concat_keeps_columns(real_data):
    source = BookSource(real_data / "real" / "glbx-mdp3-esm4-20240508.mbo.dbn.zst")
    engine = Engine(SilverSpec(), ES)
    chunks = [copy(c) for r in source.chunks() for c in engine.advance(r)]
    assert concat(chunks).n_bins == sum(c.n_bins for c in chunks)
