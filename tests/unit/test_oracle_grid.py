"""The plain-Python grid against examples worked out by hand and against the cascade itself."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.linalg import expm

from qmachina.fields import names
from qmachina.grid.fields import BIN_FIELDS, GRID_FIELDS
from qmachina.market import DAY_NS, UNDEF_PRICE, BookState
from qmachina.specs.silver import SilverSpec
from tests import strategies as ours
from tests.oracle.book import NO_BOOK, Event, Impulse, OracleBook
from tests.oracle.grid import MECHANICS, OracleGrid, silver
from tests.strategies import MIDNIGHT_NS, MS, SECOND, TICK_SIZE_INT, written

OPEN = ("R", "A 1 B 100 5", "A 2 A 101 6")  # valid at midnight: three events in bin 0
SNAPSHOT = ("A 1 B 100 5 more snap", "A 2 A 101 6 snap")


def run(
    *lines: str,
    covered: float | None = None,
    start: float | None = None,
    end: float | None = None,
    **fields: object,
) -> OracleGrid:
    """Run text records; times in ms after midnight."""
    spec = SilverSpec(**({"grid_radius_ticks": 3, "cell_width_ms": 100} | fields))
    start_ns, end_ns, covered_until_ns = (
        None if t is None else MIDNIGHT_NS + round(t * MS) for t in (start, end, covered)
    )
    span = {"start_ns": start_ns, "end_ns": end_ns, "covered_until_ns": covered_until_ns}
    return silver(written(*lines), spec, TICK_SIZE_INT, **span)


def column(grid: OracleGrid, name: str) -> list:
    return [b[name] for b in grid.bins]


def spans(grid: OracleGrid) -> list[tuple[float, float]]:
    """Starts and ends of the emitted bins, in ms after midnight."""
    edges = ("bin_start_ns", "bin_end_ns")
    return [tuple((b[edge] - MIDNIGHT_NS) / MS for edge in edges) for b in grid.bins]


def at(grid: OracleGrid, seq: int, tick: int) -> dict:
    """The row of an absolute tick."""
    spot = grid.bins[seq]["spot_ref_price_int"] // TICK_SIZE_INT
    (row,) = (r for r in grid.rows[seq] if r["k"] == tick - spot)
    return row


# Which bins there are


def test_bins_are_dense_and_half_open() -> None:
    grid = run(*OPEN, "A 3 B 99 1 @99.999999", "A 4 B 98 1 @100", "A 5 B 97 1 @350")
    assert spans(grid) == [(0, 100), (100, 200), (200, 300)]
    assert column(grid, "bin_event_count") == [4, 1, 0]
    assert column(grid, "event_id") == [4, 5, 5]
    assert column(grid, "bin_seq") == [0, 1, 2]
    assert column(grid, "ts_ns") == column(grid, "bin_end_ns")
    # At multiples of their width.
    assert spans(run("A 1 B 1 1 @770", "N @1100", cell_width_ms=250)) == [(750, 1000)]


def test_an_event_belongs_to_the_bin_of_its_time_with_all_its_records() -> None:
    grid = run("A 1 B 1 1 more", "A 2 B 1 1 more recv@120", "A 3 B 1 1 recv@150", "N @200")
    assert spans(grid) == [(100, 200)]
    assert column(grid, "bin_record_count") == [3]


@pytest.mark.parametrize(
    ("covered", "n_bins"), [(None, 1), (199.9, 1), (200, 2), (299, 2), (300, 3), (9000, 3)]
)
def test_the_end_of_a_file_emits_what_it_covers(covered: float | None, n_bins: int) -> None:
    lines = (*OPEN, "N @150", "N @150")
    assert len(run(*lines, covered=covered).bins) == min(n_bins, 2)
    assert len(run(*lines, covered=covered, end=300).bins) == n_bins


def test_a_snapshot_only_file_gives_no_bins() -> None:
    lines = (*SNAPSHOT, "A 1 B 100 5 snap @500")
    assert run(*lines, covered=9000).bins == []
    assert run(*lines, covered=9000, start=0, end=2000).bins == []


def test_the_opening_snapshot_is_state_and_not_part_of_the_first_bin() -> None:
    grid = run(*SNAPSHOT, "C 1 B 100 1 @50", covered=100)
    assert spans(grid) == [(0, 100)]
    row = at(grid, 0, 100)
    assert (row["bid_depth"], row["reset_bid"], row["pull_bid"], row["add_bid"]) == (4, 0, 1, 0)
    assert (column(grid, "bin_event_count"), at(grid, 0, 101)["last_event_id"]) == ([1], 1)


def test_a_later_snapshot_closes_bins_and_counts_as_reset() -> None:
    grid = run(*OPEN, "A 1 B 100 2 more snap @250", "A 2 A 101 6 snap @250", "N @300")
    assert spans(grid) == [(0, 100), (100, 200), (200, 300)]
    assert [at(grid, n, 100)["bid_depth"] for n in range(3)] == [5, 5, 2]
    row = at(grid, 2, 100)
    assert (row["reset_bid"], row["add_bid"], row["last_event_id"]) == (-3, 0, 4)
    assert at(grid, 2, 101)["reset_ask"] == 0
    assert column(grid, "bin_event_count") == [3, 0, 1]
    assert column(grid, "ofi_best") == [0, 0, 0]


def test_a_last_snapshot_is_not_reached_by_the_end_of_the_file() -> None:
    grid = run(*OPEN, "A 1 B 100 2 more snap @250", covered=9000)
    assert spans(grid) == [(0, 100), (100, 200)]


def test_end_of_input_closes_a_snapshot_before_the_last_bin() -> None:
    lines = ("R", "N", "A 1 B 100 2 more snap @50", "A 2 A 104 2 more snap @50")
    grid = run(*lines, covered=100)
    assert column(grid, "book_state") == [BookState.VALID]
    assert column(grid, "spot_ref_price_int") == [102 * TICK_SIZE_INT]
    assert column(run(*lines, "N 0 N - 0 snap @100"), "book_state") == [BookState.BUILDING]


def test_what_lies_before_start_feeds_the_state_only() -> None:
    lines = (*OPEN, "N @200", "C 1 B 100 1 @250")
    grid = run(*lines, start=200, covered=9000)
    assert spans(grid) == [(200, 300)]
    assert column(grid, "bin_event_count") == [2]
    row = at(grid, 0, 100)
    assert (row["bid_depth"], row["add_bid"], row["pull_bid"]) == (4, 0, 1)
    assert row["add_mass"] > 4.9
    assert run(*lines, start=300).bins == []
    assert run(*lines, start=300, covered=9000).bins == []
    grid = run(*lines, start=300, end=500, covered=450)
    assert spans(grid) == [(300, 400)]
    assert column(grid, "bin_event_count") == [0]


def test_bins_begin_at_start_even_where_the_file_begins_later() -> None:
    grid = run(*(f"{x} @250" for x in OPEN), start=0, covered=300)
    assert spans(grid) == [(0, 100), (100, 200), (200, 300)]
    assert column(grid, "book_valid") == [False, False, True]
    assert column(grid, "spot_ref_price_int") == [0, 0, 100 * TICK_SIZE_INT]


def test_a_snapshot_after_start_closes_bins_once_there_was_a_live_event() -> None:
    later = [f"{x} @350" for x in SNAPSHOT]
    grid = run("R", "A 9 B 100 7", *later, "N @400", start=200)
    assert spans(grid) == [(200, 300), (300, 400)]
    assert [at(grid, n, 100)["bid_depth"] for n in range(2)] == [7, 5]
    assert [at(grid, n, 100)["reset_bid"] for n in range(2)] == [0, -2]
    grid = run(*later, "N @400", start=200)
    assert spans(grid) == [(200, 300), (300, 400)]
    assert [at(grid, n, 100)["reset_bid"] for n in range(2)] == [0, 0]


@pytest.mark.parametrize("covered", [None, 9000])
def test_no_bin_begins_at_or_after_end(covered: float | None) -> None:
    grid = run(*OPEN, "N @250", "N @450", "N @1000", end=300, covered=covered)
    assert spans(grid) == [(0, 100), (100, 200), (200, 300)]
    assert run(*(f"{x} @300" for x in OPEN), end=300, covered=covered).bins == []


def test_start_and_end_inside_a_bin() -> None:
    grid = run(*OPEN, "N @120", "N @170", "N @250", start=150, end=250, covered=9000)
    assert spans(grid) == [(100, 200), (200, 300)]
    assert column(grid, "bin_event_count") == [1, 1]


# Emission after every event


def test_emission_at_every_event() -> None:
    grid = run(
        *(*SNAPSHOT, "A 3 B 100 1 @50", "N 0 N - 0 snap @55", "A 3 B 100 9 @60", "A 3 B 100 2 @60"),
        **{"covered": 9000, "emit": "event"},
    )
    assert spans(grid) == [(50, 50), (50, 60), (60, 60)]
    assert column(grid, "bin_event_count") == [1, 2, 1]
    assert [at(grid, n, 100)["add_bid"] for n in range(3)] == [1, 9, 2]
    assert [at(grid, n, 100)["reset_bid"] for n in range(3)] == [0, -6, 0]
    assert at(grid, 0, 100)["v_add"] == np.float32(0.5)
    # In a session.
    grid = run(*OPEN, "N @50", "N @60", "N @70", start=50, end=70, emit="event")
    assert spans(grid) == [(50, 50), (50, 60)]


# Values of a bin


def test_values_of_a_bin() -> None:
    grid = run(
        *OPEN,
        "T 0 A 100 2 more",
        "F 1 B 100 2 more",
        "C 1 B 100 2",
        "T 0 B 101 3",
        "T 0 N 101 5",
        "T 0 B - 7",
        "T 0 A 90 11",
        "A 3 A 103 4",
        covered=100,
    )
    expected = {
        "ts_ns": MIDNIGHT_NS + 100 * MS,
        "bin_start_ns": MIDNIGHT_NS,
        "bin_end_ns": MIDNIGHT_NS + 100 * MS,
        "bin_event_count": 9,
        "bin_record_count": 11,
        "event_id": 9,
        "mid_price": 25.125,
        "mid_x2": 201,
        "spot_ref_price_int": 25_000_000_000,
        "spot_valid": True,
        "best_bid_price_int": 25_000_000_000,
        "best_ask_price_int": 25_250_000_000,
        "best_bid_size": 3,
        "best_ask_size": 6,
        "lowest_best_bid_int": 25_000_000_000,
        "highest_best_bid_int": 25_000_000_000,
        "lowest_best_ask_int": 25_250_000_000,
        "highest_best_ask_int": 25_250_000_000,
        "trade_buy_size": 3,
        "trade_sell_size": 13,
        "trade_unattributed_size": 12,
        "trade_count": 5,
        "ofi_best": -2,
        "book_valid": True,
        "book_state": 4,
        "microstate_id": 4,
    }
    assert [{k: v for k, v in b.items() if v} for b in grid.bins] == [expected]
    assert set(grid.bins[0]) == set(names(BIN_FIELDS))


def test_values_of_the_rows() -> None:
    grid = run(
        *OPEN, "T 0 A 100 2 more", "F 1 B 100 2 more", "C 1 B 100 3", "A 3 A 100 4", covered=100
    )
    rows = grid.rows[0]
    assert [r["k"] for r in rows] == [-3, -2, -1, 0, 1, 2, 3]
    assert all(set(r) == set(names(GRID_FIELDS)) for r in rows)
    row = {k: v for k, v in at(grid, 0, 100).items() if k not in MECHANICS}
    assert {k: v for k, v in row.items() if v} == {
        "bid_depth": 2,
        "ask_depth": 4,
        "rest_depth": 6,
        "add_bid": 5,
        "add_ask": 4,
        "pull_bid": 1,
        "fill_bid": 2,
        "trade_sell": 2,
        "last_event_id": 5,
    }
    idle = at(grid, 0, 102)
    assert {k for k, v in idle.items() if v} == {"k"}
    assert not any(math.copysign(1, idle[name]) < 0 for name in MECHANICS)


def test_counts_begin_anew_and_stamps_and_depth_stay() -> None:
    grid = run(*OPEN, "T 0 A 100 2", covered=9000, end=200)
    first, second = at(grid, 0, 100), at(grid, 1, 100)
    assert (first["add_bid"], first["trade_sell"]) == (5, 2)
    assert (second["add_bid"], second["trade_sell"]) == (0, 0)
    assert (second["bid_depth"], second["last_event_id"]) == (5, 2)


@pytest.mark.parametrize(
    ("bid", "ask", "spot"), [(100, 101, 100), (100, 102, 101), (-3, -2, -3), (-1, 0, -1), (5, 5, 5)]
)
def test_spot_is_the_floor_of_the_middle(bid: int, ask: int, spot: int) -> None:
    grid = run("R", f"A 1 B {bid} 1", f"A 2 A {ask} 1", covered=100)
    assert column(grid, "spot_ref_price_int") == [spot * TICK_SIZE_INT]
    assert column(grid, "mid_x2") == [bid + ask]
    assert column(grid, "mid_price") == [(bid + ask) / 2 * 0.25]


def test_spot_holds_its_last_valid_value() -> None:
    grid = run(
        "R",
        "T 0 N 7 1",
        "A 1 B 100 5 @100",
        "A 2 A 104 6 @200",
        "A 3 B 103 1 @300",  # and back again: seen though no bin ends here
        "C 2 A 104 6 @300",
        "C 1 B 100 6 @450",
        covered=500,
    )
    assert [x // TICK_SIZE_INT for x in column(grid, "spot_ref_price_int")] == [
        0,
        100,
        102,
        103,
        103,
    ]
    assert column(grid, "spot_valid") == [False, False, True, False, False]
    assert column(grid, "book_state") == [2, 3, 4, 3, 3]
    assert column(grid, "mid_price") == [0, 0, 25.5, 0, 0]
    assert at(grid, 3, 103)["bid_depth"] == 1


def test_best_prices_are_told_whatever_the_state() -> None:
    grid = run("A 1 B 100 5", "A 2 A 99 6 @100", "R 0 N - 0 @200", covered=300)
    assert column(grid, "best_bid_price_int") == [25_000_000_000, 25_000_000_000, UNDEF_PRICE]
    assert column(grid, "best_ask_price_int") == [UNDEF_PRICE, 24_750_000_000, UNDEF_PRICE]
    assert column(grid, "best_bid_size") == [5, 5, 0]
    assert column(grid, "best_ask_size") == [0, 6, 0]
    assert column(grid, "mid_x2") == [0, 0, 0]
    assert column(grid, "lowest_best_bid_int") == [UNDEF_PRICE] * 3
    assert column(grid, "book_state") == [0, 0, 2]


def test_lowest_and_highest_include_the_opening_look_and_skip_invalid_ones() -> None:
    grid = run(
        *OPEN,
        "A 3 B 102 1 @110",  # crossed: does not count
        "C 2 A 101 6 more @120",
        "C 1 B 100 5 more @120",
        "A 4 A 104 1 @120",
        "M 3 B 101 1 @130",
        covered=300,
        end=300,
    )
    ticks = [
        [x // TICK_SIZE_INT for x in column(grid, f"{end}_best_{side}_int")]
        for side in ("bid", "ask")
        for end in ("lowest", "highest")
    ]
    assert ticks == [[100, 100, 101], [100, 102, 101], [101, 101, 104], [101, 104, 104]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A 3 B 100 4", 4),
        ("A 3 A 101 4", -4),
        ("C 1 B 100 2", -2),
        ("C 2 A 101 2", 2),
        ("A 3 B 99 4", 0),
        ("A 3 A 102 4", 0),
        ("M 1 B 99 5", -5),
        ("M 1 B 101 4", 4),
        ("M 2 A 102 6", 6),
        ("M 2 A 100 3", -3),
        ("A 3 B 102 4", 0),  # crossed
        ("C 1 B 100 5", 0),  # one-sided
        ("T 0 A 100 4", 0),
    ],
)
def test_order_flow_imbalance_of_one_event(line: str, expected: int) -> None:
    assert column(run(*OPEN, line, covered=100), "ofi_best") == [expected]


def test_order_flow_imbalance_is_summed_event_by_event() -> None:
    grid = run(*OPEN, "A 3 B 100 4", "C 1 B 100 5 more", "A 4 A 101 1", covered=100)
    assert column(grid, "ofi_best") == [4 - 5 - 1]
    clear = ("C 1 B 100 5 more", "R 0 N - 0 more", "A 5 B 100 1 more", "A 6 A 101 1")
    assert column(run(*OPEN, *clear, covered=100), "ofi_best") == [0]
    crossed = ("A 3 B 102 4", "C 3 B 102 4")
    assert column(run(*OPEN, *crossed, covered=100), "ofi_best") == [0]
    reset = ("A 1 B 100 1 more snap", "A 2 A 101 1 snap", "A 3 B 100 4")
    assert column(run(*OPEN, *reset, covered=100), "ofi_best") == [4]


def test_moves_go_by_the_last_valid_emitted_bin() -> None:
    grid = run(
        *OPEN,
        "M 2 A 105 6 @100",
        "M 1 B 103 5 @100",
        "A 9 B 110 1 @200",  # crossed
        "C 9 B 110 1 @300",
        "C 1 B 103 5 @300",
        "A 3 B 101 1 @300",
        "M 2 A 103 6 @300",
        "A 4 B 102 1 @410",
        "C 4 B 102 1 @420",
        "M 3 B 102 1 @500",
        "M 2 A 102 6 @500",
        covered=600,
    )
    assert column(grid, "best_bid_move_ticks") == [0, 3, 0, -2, 0, 1]
    assert column(grid, "best_ask_move_ticks") == [0, 4, 0, -2, 0, -1]
    assert column(grid, "bid_reprice_sign") == [0, 1, 0, -1, 0, 1]
    assert column(grid, "ask_reprice_sign") == [0, 1, 0, -1, 0, -1]
    assert column(grid, "microstate_id") == [4, 8, 4, 0, 4, 2]
    assert column(grid, "chase_up_flag") == [False, True, False, False, False, False]
    assert column(grid, "chase_down_flag") == [False, False, False, True, False, False]
    # Bins before the start are no reference.
    grid = run(*OPEN, "M 2 A 102 6 @200", start=200, covered=300)
    assert column(grid, "best_ask_move_ticks") == [0]


# Mechanics


def events_of(impulses: list[tuple[int, int, str, int]]) -> list[Event]:
    """Make one event of each (time in ns after midnight, tick, channel, size)."""
    return [
        Event(n, MIDNIGHT_NS + t, 1, False, [Impulse(tick, c, x)], [], NO_BOOK, 0)
        for n, (t, tick, c, x) in enumerate(impulses, start=1)
    ]


TAUS = [(2.0, 5.0, 10.0, 30.0), (0.05, 0.2, 0.1, 0.4), (3.0, 0.5, 0.6, 0.2), (10.0, 5.0, 2.0, 60.0)]


def spec_of(taus: tuple[float, ...], **fields: object) -> SilverSpec:
    keys = ("tau_velocity", "tau_acceleration", "tau_jerk", "tau_rest_decay")
    return SilverSpec(**dict(zip(keys, taus, strict=True)), **fields)


@pytest.mark.parametrize("taus", TAUS)
def test_an_impulse_at_its_own_instant(taus: tuple[float, ...]) -> None:
    """Each stage of the cascade jumps by its rate times the jump of the one before."""
    grid = OracleGrid(spec_of(taus), TICK_SIZE_INT)
    for event in events_of([(5 * SECOND, 0, "pull_ask", 3)]):
        grid.consume(event)
    got = grid.read_tick(0, MIDNIGHT_NS + 5 * SECOND)
    v, a, j, _ = 3 / np.cumprod([*taus[:3], 1])
    assert got["pull_mass"] == pytest.approx(3, rel=1e-14)
    for sign, name in ((1, "pull"), (-1, "ask_depth"), (-1, "rest_depth")):
        found = [got[f"{order}_{name}"] for order in "vaj"]
        assert found == pytest.approx([sign * v, sign * a, sign * j], rel=1e-13)
    assert [got[f"{o}_{x}"] for o in "vaj" for x in ("add", "fill", "bid_depth")] == [0] * 9


@pytest.mark.parametrize("taus", TAUS)
def test_mechanics_equal_the_cascade(taus: tuple[float, ...]) -> None:
    """Read-outs against the matrix exponential of smooth, differentiate, smooth, ..."""
    rv, ra, rj, rm = (1 / t for t in taus)
    # v' = -rv v;  a' = ra (v' - a);  j' = rj (a' - j);  m' = -rm m, between impulses.
    system = np.zeros((4, 4))
    system[0, 0] = -rv
    system[1] = ra * system[0] - ra * np.eye(4)[1]
    system[2] = rj * system[1] - rj * np.eye(4)[2]
    system[3, 3] = -rm
    jump = np.array([rv, ra * rv, rj * ra * rv, 1.0])

    rng = np.random.default_rng(7)
    n, n_ticks = 300, 21
    times = 90 * SECOND + np.sort(rng.integers(0, 40 * SECOND, n))
    times[1::7] = times[::7]  # several at one instant
    channels = rng.choice([f"{k}_{s}" for k in ("add", "pull", "fill") for s in ("bid", "ask")], n)
    columns = (times, rng.integers(-10, 11, n), channels, rng.integers(1, 500, n))
    impulses = list(zip(*(c.tolist() for c in columns), strict=True))
    read_ns = int(times[-1]) + SECOND // 8
    grid = OracleGrid(spec_of(taus, grid_radius_ticks=10), TICK_SIZE_INT)
    for event in events_of(impulses):
        grid.consume(event)
    got = {name: np.array(values) for name, values in grid.read(MIDNIGHT_NS + read_ns).items()}

    expected = {name: np.zeros(n_ticks) for name in MECHANICS}
    for t, tick, channel, size in impulses:
        response = size * (expm(system * ((read_ns - t) * 1e-9)) @ jump)
        kind, side = channel.split("_")
        expected[f"{kind}_mass"][tick + 10] += response[3]
        for order, value in zip("vaj", response, strict=False):
            expected[f"{order}_{kind}"][tick + 10] += value
            signed = value if kind == "add" else -value
            expected[f"{order}_{side}_depth"][tick + 10] += signed
            expected[f"{order}_rest_depth"][tick + 10] += signed
    for name in MECHANICS:
        error = np.abs(got[name] - expected[name]).max() / np.abs(expected[name]).max()
        assert error < 1e-12, (name, error)


def test_landmarks_stand_at_midnight_plus_multiples() -> None:
    spec = spec_of(TAUS[1])
    assert spec.landmark_ns == 2_500 * MS
    grid = OracleGrid(spec, TICK_SIZE_INT)
    seen = []
    for event in events_of([(t * MS, 0, "add_bid", 1) for t in (7_499, 7_500, 9_999, 17_600)]):
        grid.consume(event)
        seen.append((grid.landmark - MIDNIGHT_NS) // MS)
    assert seen == [5_000, 7_500, 7_500, 17_500]


def test_negligible_sums_become_nothing_at_a_landmark() -> None:
    spec = spec_of(TAUS[1])  # one period divides the velocity sum by e**50
    grid = OracleGrid(spec, TICK_SIZE_INT)
    add, *later = events_of(
        [(0, 0, "add_bid", 1)] + [(n * 2_500 * MS, 9, "add_ask", 1) for n in range(1, 11)]
    )
    grid.consume(add)
    for n, event in enumerate(later, start=1):
        grid.consume(event)
        sums = grid.sums["add_bid", 0]
        assert (sums[0] == 0.0) == (n * 50 > 200 * math.log(10))
        assert sums[3] > 0


def test_rest_is_the_float64_sum_and_each_value_is_rounded_once() -> None:
    grid = run(*OPEN, "A 3 A 100 7 @33", "C 1 B 100 2 @47", covered=100)
    exact = grid.read_tick(100, MIDNIGHT_NS + 100 * MS)
    row = at(grid, 0, 100)
    for name in MECHANICS:
        assert row[name] == np.float32(exact[name])
    assert exact["a_rest_depth"] == exact["a_bid_depth"] + exact["a_ask_depth"]


# Laws over generated streams


@settings(max_examples=30, deadline=None)
@given(ours.legal_streams() | ours.illegal_streams(), ours.silver_specs())
def test_emissions_are_dense_finite_and_typed(records: np.ndarray, spec: SilverSpec) -> None:
    grid = silver(records, spec, TICK_SIZE_INT, covered_until_ns=MIDNIGHT_NS + 3 * DAY_NS)
    chunk = grid.chunk()
    assert list(chunk.bins) == list(names(BIN_FIELDS))
    assert list(chunk.grid) == list(names(GRID_FIELDS))
    for field in GRID_FIELDS:
        values = chunk.grid[field.name]
        assert values.dtype == field.numpy
        assert values.shape == (len(grid.bins), spec.n_rows)
        assert np.isfinite(values).all()
    radius = spec.grid_radius_ticks
    assert (chunk.grid["k"] == np.arange(-radius, radius + 1)).all()
    if spec.emit == "bin":
        assert (np.diff(chunk.bins["bin_start_ns"]) == spec.bin_ns).all()
        assert (chunk.bins["bin_start_ns"] % spec.bin_ns == 0).all()


@settings(max_examples=30, deadline=None)
@given(ours.legal_streams() | ours.illegal_streams(), ours.silver_specs())
def test_conservation(records: np.ndarray, spec: SilverSpec) -> None:
    """Opening depth + add - pull - fill + reset = closing depth, at every tick of the window."""
    grid = _Watched(spec, TICK_SIZE_INT)
    book = OracleBook(TICK_SIZE_INT, spec.clock, spec.assume_synced_after)
    for event in book.feed(records):
        grid.consume(event)
        depth = {(s, t): n for s, levels in book.depth.items() for t, n in levels.items()}
        assert +grid.depth == depth
    for n in range(1, len(grid.bins)):
        spot = grid.bins[n]["spot_ref_price_int"] // TICK_SIZE_INT
        for row in grid.rows[n]:
            for side in ("bid", "ask"):
                change = row[f"add_{side}"] - row[f"pull_{side}"] - row[f"fill_{side}"]
                opening = grid.emitted_depth[n - 1][side, spot + row["k"]]
                assert opening + change + row[f"reset_{side}"] == row[f"{side}_depth"]


class _Watched(OracleGrid):
    """Keeps the depth of every tick at each emission."""

    def _emit(self, time: int) -> None:
        self.emitted_depth = [*getattr(self, "emitted_depth", []), Counter(self.depth)]
        super()._emit(time)


@settings(max_examples=20, deadline=None)
@given(ours.legal_streams(), ours.silver_specs(emit="bin"))
def test_bin_width_does_not_matter_and_reading_changes_nothing(
    records: np.ndarray, spec: SilverSpec
) -> None:
    """State at 100 ms bins, at 1 s bins and with reads in between is bitwise the same."""
    period = {"tau_velocity": 3.0, "tau_acceleration": 2.0, "tau_jerk": 2.5}
    grids = [
        OracleGrid(SilverSpec(**(spec.canonical() | period | {"cell_width_ms": w})), TICK_SIZE_INT)
        for w in (100, 1000, 100)
    ]
    book = OracleBook(TICK_SIZE_INT, spec.clock, spec.assume_synced_after)
    for event in book.feed(records):
        grids[2].read(event.time)
        for grid in grids:
            grid.consume(event)
    windows = [grid.read(book.time + 250 * SECOND) for grid in grids]
    assert windows[0] == windows[1] == windows[2]
    assert grids[0].bins == grids[2].bins
    assert grids[0].rows == grids[2].rows


@settings(max_examples=30, deadline=None)
@given(ours.legal_streams(), ours.silver_specs())
def test_an_event_changes_only_the_ticks_it_touches(records: np.ndarray, spec: SilverSpec) -> None:
    grid = OracleGrid(spec, TICK_SIZE_INT)
    for event in OracleBook(TICK_SIZE_INT, spec.clock).feed(records):
        touched = {i.tick for i in event.impulses}
        others = sorted({t for _, t in grid.sums} - touched)
        before = [grid.read_tick(t, event.time) for t in others] if others else []
        grid.consume(event)
        assert [grid.read_tick(t, event.time) for t in others] == before
        assert all(grid.stamps[t] == event.event_id for t in touched)


@settings(max_examples=20, deadline=None)
@given(ours.legal_streams(), ours.silver_specs())
def test_translation(records: np.ndarray, spec: SilverSpec) -> None:
    """Prices shifted by whole ticks shift the window and change nothing else."""
    shifted = records.copy()
    has_price = records["price"] != UNDEF_PRICE
    shifted["price"][has_price] += 1_001 * TICK_SIZE_INT
    first, second = (silver(r, spec, TICK_SIZE_INT) for r in (records, shifted))
    assert first.rows == second.rows
    for b, c in zip(first.bins, second.bins, strict=True):
        assert c["ofi_best"] == b["ofi_best"]
        if b["book_valid"]:
            assert c["spot_ref_price_int"] - b["spot_ref_price_int"] == 1_001 * TICK_SIZE_INT
