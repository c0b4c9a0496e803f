"""Small tapes of what real files hold and naive engines get wrong, each with the right answer.

Unless it says otherwise a trap starts with a snapshot of two bids and two asks (`_opened`), so
that the book is valid before anything odd happens. ``TRAPS`` holds what must be read;
``REFUSED`` what must be refused with an error that names the record.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qmachina.market import PRICE_SCALE, Flag
from qmachina.sources.tape import Tape

_HOUR_NS = 3600 * 1_000_000_000


# Bids 1 (5 at 99) and 2 (8 at 98), asks 3 (6 at 100) and 4 (9 at 101).
def _opened(**options: int) -> Tape:
    tape = Tape(**options)  # type: ignore[arg-type]
    return tape.snapshot((1, "B", 99, 5), (2, "B", 98, 8), (3, "A", 100, 6), (4, "A", 101, 9))


def separate_trade_fill_cancel() -> NDArray:
    """T, F and C of one execution are three events with F_LAST each, as on Nasdaq.

    Right: fills of 2 and then 4 at 100, no pulls; order 3 is gone after the second.
    """
    tape = _opened().execute(3, 2, one_event=False).execute(3, 4, one_event=False)
    return tape.add(5, "A", 102, 1).records()


def fill_then_fill() -> NDArray:
    """Two F of one order before its C: pending sizes add up.

    Right: fill of 5 (2 + 3) and pull of 1 at 100 by a C of 6.
    """
    tape = _opened().trade("B", 100, 2, last=False).fill(3, 2, last=False)
    tape.trade("B", 100, 3, last=False).fill(3, 3, last=False)
    return tape.cancel(3, 6).records()


def fill_never_settled() -> NDArray:
    """An F whose C comes with another ts_event, and one followed by R.

    Right: no fills, two `unmatched_fill`; the C is a pull of 6.
    """
    tape = _opened().fill(3, 6).cancel(3, 6)
    return tape.fill(1, 5).clear().records()


def fill_then_move() -> NDArray:
    """An F, then an M that lowers the size and moves the price in the same event.

    Right: at 100 fill of 2 and pull of 4, at 102 add of 4; closing ask depth 0 and 4.
    """
    tape = _opened().trade("B", 100, 2, last=False).fill(3, 2, last=False)
    return tape.modify(3, tick=102, size=4).records()


def cancel_between_fill_and_modify() -> NDArray:
    """A C of another order lies between an F and its M, all in one event.

    Right: fill of 2 at 100 from the M, pull of 9 at 101 from the C between.
    """
    tape = _opened().trade("B", 100, 2, last=False).fill(3, 2, last=False)
    return tape.cancel(4, last=False).modify(3, size=4).records()


def clear_without_last() -> NDArray:
    """A daily R without F_LAST; the next event has the same ts_event and ts_recv.

    Right: the R is an event of its own, none is unterminated; reset of -13 bids and -15 asks,
    then two adds.
    """
    tape = _opened().clear(last=False)
    return tape.add(11, "B", 99, 1).add(12, "A", 100, 1).records()


def clear_inside_snapshot() -> NDArray:
    """A second R with F_SNAPSHOT in the middle of a snapshot, all at one ts_recv.

    Right: it clears again and the snapshot stays open, one event: one bid of 1, one ask of 1.
    """
    tape = Tape().snapshot((1, "B", 99, 5), (3, "A", 100, 6), last=False)
    tape.wait(-tape.step_ns).snapshot((11, "B", 98, 1), (12, "A", 99, 1))
    return tape.add(13, "B", 97, 1).records()


def implicit_snapshot() -> NDArray:
    """A snapshot that begins with A, without R. Right: synced, valid book."""
    tape = Tape().snapshot((1, "B", 99, 5), (3, "A", 100, 6), clear=False)
    return tape.add(5, "B", 98, 2).records()


def snapshot_without_last() -> NDArray:
    """A snapshot that ends without F_LAST; the next record is live.

    Right: the snapshot closes before the live record; depth is state, the add of 2 is flow.
    """
    tape = Tape().snapshot((1, "B", 99, 5), (3, "A", 100, 6), last=False)
    return tape.add(5, "B", 98, 2).records()


def snapshot_only() -> NDArray:
    """Nothing but a snapshot. Right: a valid book, no bins and no error."""
    return _opened().records()


def empty_snapshot() -> NDArray:
    """A snapshot of an empty book: one R with F_SNAPSHOT and F_LAST.

    Right: synced and empty, then one-sided, then valid; both adds are flow.
    """
    return Tape().snapshot().add(1, "B", 99, 5).add(2, "A", 100, 6).records()


def snapshot_after_snapshot() -> NDArray:
    """Two complete snapshots in a row, the second without R: yesterday's file, then today's.

    Right: the second replaces the first; 5 at 99 and 6 at 100, not double.
    """
    tape = Tape().snapshot((1, "B", 99, 5), (3, "A", 100, 6)).wait(24 * _HOUR_NS)
    tape.snapshot((1, "B", 99, 5), (3, "A", 100, 6), clear=False)
    return tape.add(5, "B", 98, 2).records()


def snapshot_in_mid_session() -> NDArray:
    """A snapshot after live records, as a feed sends after a gap.

    Right: the book is replaced; the difference is reset, never add or pull; order 5 is gone.
    """
    tape = _opened().add(5, "B", 97, 3).cancel(2, 4)
    tape.snapshot((1, "B", 99, 2), (6, "B", 98, 1), (3, "A", 100, 6), (7, "A", 103, 4))
    return tape.cancel(1).add(8, "B", 99, 1).records()


def recv_changes_inside_event() -> NDArray:
    """An event in two packets: same ts_event, later ts_recv on the second part.

    Right: one event with the time of its last record.
    """
    tape = _opened().wait(ms=98)
    tape.trade("B", 100, 6, last=False).fill(3, 6, last=False)
    late = tape.now_ns + 5_000_000
    tape.cancel(3, 6, ts_recv=late)
    return tape.wait(ms=10).add(5, "A", 100, 1).records()


def equal_timestamps() -> NDArray:
    """Five events that share ts_event and ts_recv. Right: five events, in file order, one bin."""
    tape = _opened()
    tape.step_ns = 0
    tape.add(5, "B", 99, 1).cancel(3, 2).modify(4, tick=102).cancel(5).add(6, "A", 101, 3)
    return tape.records()


def unsynced_start() -> NDArray:
    """A file that begins in mid-session: C, F and M of orders never seen.

    Right: book state unsynced, bins invalid unless the spec assumes otherwise; the unknown C
    does nothing, the unknown M of 77 inserts 4 at 100.
    """
    tape = Tape().cancel(55, 3, side="B", tick=98)
    tape.trade("B", 100, 2, last=False).fill(77, 2, side="A", tick=100, last=False)
    tape.modify(77, side="A", tick=100, size=4)
    return tape.add(1, "B", 99, 5).add(2, "A", 101, 5).cancel(1, 2).records()


def unknown_cancel() -> NDArray:
    """A C of an order that does not rest, in a synced book. Right: counted, nothing changes."""
    return _opened().cancel(99, 3, side="B", tick=99).add(5, "B", 99, 1).records()


def unknown_modify() -> NDArray:
    """An M of an order that does not rest. Right: counted, inserts (add of 3 at 97)."""
    return _opened().modify(99, side="B", tick=97, size=3).cancel(99, 3).records()


def duplicate_add() -> NDArray:
    """An A of an id that rests. Right: counted; pull of 5 at 99, add of 2 at 97."""
    return _opened().add(1, "B", 97, 2).cancel(1, 2).records()


def partial_cancel() -> NDArray:
    """A C of less than the order. Right: pull of 2 at 99; order 1 rests with 3."""
    return _opened().cancel(1, 2).cancel(1, 3).records()


def oversized_cancel() -> NDArray:
    """A C of more than rests. Right: counted, pull of the 5 that are there, never below zero."""
    return _opened().cancel(1, 50).add(5, "B", 99, 1).records()


def side_changing_modify() -> NDArray:
    """An M that moves an order to the other side.

    Right: pull of 8 bids at 98, add of 8 asks at 103.
    """
    return _opened().modify(2, side="A", tick=103).cancel(2).records()


def size_changing_modify() -> NDArray:
    """An M up and an M down in size. Right: add of 4, then pull of 7, at 99."""
    return _opened().modify(1, size=9).modify(1, size=2).records()


def top_of_book_publisher() -> NDArray:
    """A publisher that sends its best prices only: A with F_TOB, both sides under one order id.

    Right: each replaces its whole side; a T with F_TOB leaves the book alone; an undefined
    price with size 0 empties the side (one-sided), which then returns.
    """
    tape = Tape(publisher=41).clear().top("B", 99, 500).top("A", 100, 300)
    tape.top("B", 99, 400).trade("B", 100, 100, flags=int(Flag.TOB)).top("A", 101, 200)
    return tape.top("B", None).top("B", 98, 100).records()


def two_publishers() -> NDArray:
    """Order by order from publisher 39 and top of book from 41, interleaved, ids in common.

    Right: two books; taken as one, 41 would wipe the orders of 39.
    """
    tape = Tape(publisher=39).snapshot((1, "B", 99, 5), (2, "A", 101, 6))
    tape.switch(publisher=41).clear().top("B", 98, 100).top("A", 102, 100)
    tape.switch(publisher=39).add(3, "B", 100, 1)
    tape.switch(publisher=41).top("B", 99, 200)
    tape.switch(publisher=39).cancel(1).cancel(2, 1)
    return tape.switch(publisher=41).top("A", None).records()


def two_instruments() -> NDArray:
    """A whole event of one instrument lies inside an event of the other; order ids in common.

    Right: filtered to one book first. Then the first has one event of two records, the second
    one event of one record, and none is unterminated.
    """
    tape = Tape(instrument=1).snapshot((1, "B", 99, 5), (2, "A", 101, 6))
    tape.switch(instrument=2).snapshot((1, "B", 199, 5), (2, "A", 201, 6))
    tape.switch(instrument=1).add(3, "B", 98, 1, last=False)
    tape.switch(instrument=2).cancel(1, 2, last=False, flags=int(Flag.LAST))
    return tape.switch(instrument=1).cancel(2, 1).records()


def publisher_specific_flag() -> NDArray:
    """Events that end with flags 130 among those that end with 128. Right: both are F_LAST."""
    tape = _opened(last_flag=int(Flag.LAST | Flag.PUBLISHER_SPECIFIC)).add(5, "B", 99, 1)
    tape.last_flag = int(Flag.LAST)
    return tape.add(6, "A", 100, 1).cancel(5).records()


def crossed_before_open() -> NDArray:
    """A book crossed before the open, locked, then uncrossed by the auction's fills.

    Right: crossed is a state and no error; those bins are invalid, locked ones valid; the
    auction trades without a side.
    """
    tape = Tape().clear().add(1, "B", 99, 5).add(2, "A", 101, 6).add(3, "B", 102, 4)
    tape.modify(3, tick=101).wait(ms=500)
    tape.trade("N", 101, 4, last=False).fill(3, 4, last=False).fill(2, 4, last=False)
    return tape.cancel(3, 4, last=False).modify(2, size=2).add(4, "B", 100, 1).records()


def negative_prices() -> NDArray:
    """Prices that fall through zero. Right: valid throughout, best bid -1 then -3, mid of 0 too."""
    tape = Tape().snapshot((1, "B", 1, 5), (2, "A", 2, 6))
    tape.add(3, "B", -1, 5).add(4, "A", 3, 1).cancel(1).modify(2, tick=1).cancel(4)
    return tape.add(5, "B", -3, 2).cancel(3).add(6, "A", -2, 4).records()


def lost_last() -> NDArray:
    """An event whose F_LAST was lost: the next record differs in ts_event and ts_recv.

    Right: two events, `unterminated` 1, each with its own time.
    """
    tape = _opened().add(5, "B", 97, 1, last=False).wait(ms=150)
    return tape.add(6, "A", 102, 1).records()


def unterminated_end() -> NDArray:
    """The last event of the file never ends. Right: applied and counted."""
    return _opened().add(5, "B", 97, 1).cancel(5, last=False).records()


def sequence_backward() -> NDArray:
    """The venue's sequence runs backward and repeats. Right: file order holds."""
    tape = _opened().add(5, "B", 97, 1, sequence=900).add(6, "B", 97, 2, sequence=880)
    return tape.cancel(5, sequence=880).records()


def receive_time_backward() -> NDArray:
    """ts_recv runs backward. Right: the clock stands still (running maximum), counted."""
    tape = _opened().wait(ms=200).add(5, "B", 97, 1).wait(ms=-150).add(6, "A", 102, 1)
    return tape.cancel(5).wait(ms=300).cancel(6).records()


def trade_without_side() -> NDArray:
    """A T of side N: an auction, a hidden or an implied order. Right: size unattributed."""
    return _opened().trade("N", 100, 7).add(5, "B", 97, 1).records()


def trade_off_grid() -> NDArray:
    """A T between two ticks, by a buyer. Right: no error; counted, size unattributed."""
    off = 99 * PRICE_SCALE // 4 + PRICE_SCALE // 8
    return _opened().trade("B", 0, 3, price=off).add(5, "B", 97, 1).records()


def fill_of_hidden_order() -> NDArray:
    """T and F of an order that never rested in the book. Right: book and flow unchanged."""
    tape = _opened().trade("B", 100, 4, last=False).fill(500, 4, side="A", tick=100)
    return tape.add(5, "B", 97, 1).records()


def no_action() -> NDArray:
    """A record of action N. Right: it counts as a record and changes nothing."""
    tape = _opened().trade("N", 100, 0, action=ord("N"))
    return tape.add(5, "B", 97, 1).records()


def long_hole() -> NDArray:
    """Twenty-two hours without a record. Right: the book stands; empty bins are emitted."""
    return _opened().add(5, "B", 97, 1).wait(22 * _HOUR_NS).cancel(5).records()


def dbn_version_1() -> NDArray:
    """Any records, to be written as DBN v1 (`VERSIONS`).

    Right: read like any other; symbols in the metadata have 22 bytes there, not 71.
    """
    return _opened(last_flag=130).execute(3, 2).add(5, "A", 100, 1).records()


def off_grid_add() -> NDArray:
    """An A between two ticks. Refused: names the record and the largest tick that would fit."""
    off = 97 * PRICE_SCALE // 4 + PRICE_SCALE // 10
    return _opened().add(5, "B", 0, 1, price=off).records()


def endless_event() -> NDArray:
    """An event of 65,537 records. Refused: events are buffered up to 65,536."""
    tape = _opened()
    tape.add(5, "B", 97, 1, last=False)
    one = tape.records()[-1:]
    many = np.repeat(one, 65_537)
    many["order_id"] += np.arange(65_537, dtype=np.uint64)
    return np.concatenate([tape.records()[:-1], many])


#: Builders of what must be read, by name.
TRAPS: dict[str, Callable[[], NDArray]] = {
    builder.__name__: builder
    for builder in (
        separate_trade_fill_cancel,
        fill_then_fill,
        fill_never_settled,
        fill_then_move,
        cancel_between_fill_and_modify,
        clear_without_last,
        clear_inside_snapshot,
        implicit_snapshot,
        snapshot_without_last,
        snapshot_only,
        empty_snapshot,
        snapshot_after_snapshot,
        snapshot_in_mid_session,
        recv_changes_inside_event,
        equal_timestamps,
        unsynced_start,
        unknown_cancel,
        unknown_modify,
        duplicate_add,
        partial_cancel,
        oversized_cancel,
        side_changing_modify,
        size_changing_modify,
        top_of_book_publisher,
        two_publishers,
        two_instruments,
        publisher_specific_flag,
        crossed_before_open,
        negative_prices,
        lost_last,
        unterminated_end,
        sequence_backward,
        receive_time_backward,
        trade_without_side,
        trade_off_grid,
        fill_of_hidden_order,
        no_action,
        long_hole,
        dbn_version_1,
    )
}

#: Builders of what must be refused, by name.
REFUSED: dict[str, Callable[[], NDArray]] = {
    builder.__name__: builder for builder in (off_grid_add, endless_event)
}

#: DBN version to write a trap in, where it matters; 3 elsewhere.
VERSIONS = {"dbn_version_1": 1}
