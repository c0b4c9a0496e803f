"""Reading a path from silver bins: only book_valid decides, and contradictions are refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from qmachina.errors import DataError, RecordError, SchemaError
from qmachina.evaluation.prices import from_bins
from qmachina.market import UNDEF_PRICE, BookState

TICK = 250_000_000
BIN_NS = 100_000_000
VALID, CROSSED, ONE_SIDED = (
    int(s) for s in (BookState.VALID, BookState.CROSSED, BookState.ONE_SIDED)
)


def silver(bid, ask, state=None, reach=0):
    bid = [UNDEF_PRICE if p is None else p * TICK for p in bid]
    ask = [UNDEF_PRICE if p is None else p * TICK for p in ask]
    bid, ask = np.array(bid, np.int64), np.array(ask, np.int64)
    state = np.array(state or [VALID] * len(bid), np.int8)
    return {
        "ts_ns": np.arange(1, len(bid) + 1, dtype=np.int64) * BIN_NS,
        "best_bid_price_int": bid,
        "best_ask_price_int": ask,
        "lowest_best_bid_int": bid - reach * TICK,
        "highest_best_bid_int": bid + reach * TICK,
        "lowest_best_ask_int": ask - reach * TICK,
        "highest_best_ask_int": ask + reach * TICK,
        "book_valid": state == VALID,
        "book_state": state,
    }


def read(bins, **kwargs):
    return from_bins(bins, TICK, tick_value=12.5, bin_ns=BIN_NS, **kwargs)


def test_prices_become_ticks():
    path = read(silver([10, 11], [11, 13], reach=2))
    assert path.bid.tolist() == [10, 11]
    assert path.ask.tolist() == [11, 13]
    assert path.bid_lo.tolist() == [8, 9]
    assert path.bid_hi.tolist() == [12, 13]
    assert path.ask_lo.tolist() == [9, 11]
    assert path.ask_hi.tolist() == [13, 15]
    assert path.in_session.all()


def test_zero_and_negative_prices_are_prices_and_locked_is_valid():
    path = read(silver([-3, -1, 0], [-2, 0, 0]))
    assert path.bid.tolist() == [-3, -1, 0]
    assert path.tradable.tolist() == [True, True, True]


def test_invalid_crossed_and_closed_bins_are_not_tradable():
    state = [VALID, ONE_SIDED, CROSSED, VALID, VALID]
    path = read(
        silver([10, 10, 12, 12, 10], [11, None, 11, 11, 11], state),
        in_session=np.array([True, True, True, True, False]),
    )
    assert path.tradable.tolist() == [True, False, False, False, False]


def test_crossed_state_outranks_the_valid_flag():
    bins = silver([10], [11], [CROSSED])
    bins["book_valid"] = np.array([True])
    assert not read(bins).valid.any()


def test_without_extremes_the_closing_prices_stand_for_them():
    bins = {k: v for k, v in silver([10, 11], [11, 13], reach=2).items() if "est_best_" not in k}
    path = read(bins)
    assert path.bid_lo.tolist() == path.bid_hi.tolist() == [10, 11]
    assert path.ask_lo.tolist() == path.ask_hi.tolist() == [11, 13]


def test_some_extremes_but_not_all_are_refused():
    bins = silver([10], [11])
    del bins["lowest_best_ask_int"]
    with pytest.raises(SchemaError, match="lowest_best_ask_int"):
        read(bins)


@pytest.mark.parametrize("name", ["ts_ns", "book_valid", "book_state", "best_bid_price_int"])
def test_missing_columns_are_named(name):
    bins = silver([10], [11])
    del bins[name]
    with pytest.raises(SchemaError, match=name):
        read(bins)


def test_an_absent_price_of_a_valid_bin_is_refused():
    with pytest.raises(RecordError, match="bin 1: best_ask_price_int is absent"):
        read(silver([10, 10], [11, None]))


def test_an_off_grid_price_is_refused():
    bins = silver([10, 10, 10], [11, 11, 11])
    bins["best_bid_price_int"][2] += 1
    with pytest.raises(RecordError, match="bin 2: best_bid_price_int is not a multiple"):
        read(bins)


def test_a_close_outside_its_extremes_is_refused():
    bins = silver([10, 10], [11, 11])
    bins["lowest_best_bid_int"][1] += TICK
    with pytest.raises(DataError, match="bin 1: bid lies outside"):
        read(bins)


def test_a_missing_bin_is_refused():
    bins = silver([10, 10, 10], [11, 11, 11])
    bins["ts_ns"][2] += BIN_NS
    with pytest.raises(DataError, match="bin 2: bins are not consecutive"):
        read(bins)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bin_ns", 0),
        ("tick_value", 0.0),
        ("tick_value", float("nan")),
        ("in_session", np.array([True])),
        ("valid", np.array([1, 1])),
        ("bid", np.array([10.0, 10.0])),
        ("ask_hi", np.array([2**61, 11])),
    ],
)
def test_paths_that_cannot_be_are_refused(field, value):
    path = read(silver([10, 10], [11, 11]))
    with pytest.raises(DataError, match=field):
        dataclasses.replace(path, **{field: value})


def test_no_bins_are_a_path():
    assert read(silver([], [])).n_bins == 0
