"""Events to bins and ticks.

1. ``advance_grid`` takes the next event and closes every bin that ends at or before its time.
2. ``renew`` moves the landmark of the decayed sums up to that time.
3. The book applies the event; ``collect`` adds its impulses to counts and decayed sums.
4. ``emit`` writes one row for the bin and one for each tick of the window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmachina.book import state as b
from qmachina.book.events import is_unterminated, next_event, wants_anchor
from qmachina.book.kernels import apply_event, close_snapshot
from qmachina.book.levels import look
from qmachina.book.state import Book, Impulses
from qmachina.grid import state as g
from qmachina.grid.mechanics import NEGLIGIBLE, impulse_weights, read_coefficients
from qmachina.grid.state import Constants, Grid, Out
from qmachina.kernel import OK, Int, cold, kernel, step
from qmachina.market import DAY_NS, UNDEF_PRICE, Flag

_F_SNAPSHOT = int(Flag.SNAPSHOT)
_UNTERMINATED = int(b.Anomaly.UNTERMINATED)
_UNDEF = int(UNDEF_PRICE)
_DAY = int(DAY_NS)
_NEGLIGIBLE = float(NEGLIGIBLE)
_VALID = 4


@kernel
def renew(
    sums: NDArray[np.float64], reg: NDArray[np.int64], constants: Constants, time: Int
) -> None:
    """Move the landmark up to the last one at or before ``time``, decaying all sums."""
    if reg[g.LANDMARK] < 0:
        reg[g.LANDMARK] = time - time % _DAY
        reg[g.LANDMARK] += (time - reg[g.LANDMARK]) // constants.landmark_ns * constants.landmark_ns
        return
    while time - reg[g.LANDMARK] >= constants.landmark_ns:
        if reg[g.ANY_SUM] == 0:  # nothing left to decay: go straight to the last landmark
            ahead = (time - reg[g.LANDMARK]) // constants.landmark_ns
            reg[g.LANDMARK] += ahead * constants.landmark_ns
            return
        reg[g.ANY_SUM] = decay_once(sums, constants.period_decay)
        reg[g.LANDMARK] += constants.landmark_ns


@cold
def decay_once(sums: NDArray[np.float64], decay: NDArray[np.float64]) -> Int:
    """Multiply all sums by the decay of one landmark period; return 1 if any is left."""
    left: Int = 0
    for i in range(sums.shape[0]):
        factor = decay[i % 4]
        row = sums[i]
        for t in range(row.shape[0]):
            z = row[t] * factor
            if abs(z) < _NEGLIGIBLE:
                z = 0.0
            row[t] = z
            left |= np.int64(z != 0.0)
    return left


@step
def collect(book: Book, impulses: Impulses, grid: Grid, constants: Constants) -> None:
    """Add the impulses of the event just applied to counts and decayed sums."""
    reg = grid.reg
    n = book.reg[b.N_IMPULSES]
    if n == 0:
        return
    impulse_weights(constants.rate, book.reg[b.CLOCK] - reg[g.LANDMARK], constants.weight)
    event_id = book.reg[b.EVENT_ID]
    stamp = reg[g.STAMP]
    weight = constants.weight
    for i in range(n):
        channel = impulses.channel[i]
        size = impulses.size[i]
        slot = impulses.slot[i]
        if channel >= b.TRADE_BUY:
            reg[g.TRADES] += 1
            reg[g.TRADE_BUY_SIZE + channel - b.TRADE_BUY] += size
            if slot < 0:
                continue
        if grid.stamp[slot] != stamp:
            grid.stamp[slot] = stamp
            for c in range(b.N_TICK_CHANNELS):
                grid.flow[slot, c] = 0
        grid.flow[slot, channel] += size
        if channel < b.TRADE_BUY:
            grid.last_event[slot] = event_id
        if channel < b.N_FLOW_CHANNELS:
            x = np.float64(size)
            for r in range(4):
                grid.sums[4 * channel + r, slot] += x * weight[r]
            reg[g.ANY_SUM] = 1


@step
def look_after(book: Book, grid: Grid) -> None:
    """Look at the book after an event: order-flow imbalance, extremes, spot."""
    reg, face, old = grid.reg, grid.face, grid.before
    for i in range(5):
        old[i] = face[i]
    look(book, face)
    if face[4] != _VALID:
        return
    if old[4] == _VALID and book.reg[b.RESETS] == 0:
        ofi = np.int64(0)
        if face[0] >= old[0]:
            ofi += face[1]
        if face[0] <= old[0]:
            ofi -= old[1]
        if face[2] <= old[2]:
            ofi -= face[3]
        if face[2] >= old[2]:
            ofi += old[3]
        reg[g.OFI] += ofi
    reg[g.SPOT] = (face[0] + face[2]) // 2
    reg[g.SPOT_SET] = 1
    widen(reg, face)


@kernel
def look_at_end(book: Book, grid: Grid) -> None:
    """Close a snapshot that is open at the end of the input and look at the book again."""
    close_snapshot(book)
    look(book, grid.face)
    if grid.face[4] == _VALID:
        grid.reg[g.SPOT] = (grid.face[0] + grid.face[2]) // 2
        grid.reg[g.SPOT_SET] = 1


@step
def widen(reg: NDArray[np.int64], face: NDArray[np.int64]) -> None:
    """Include the best prices of a valid look in the open bin's extremes."""
    if reg[g.LOOKS] == 0:
        reg[g.LOW_BID] = reg[g.HIGH_BID] = face[0]
        reg[g.LOW_ASK] = reg[g.HIGH_ASK] = face[2]
    else:
        reg[g.LOW_BID] = min(reg[g.LOW_BID], face[0])
        reg[g.HIGH_BID] = max(reg[g.HIGH_BID], face[0])
        reg[g.LOW_ASK] = min(reg[g.LOW_ASK], face[2])
        reg[g.HIGH_ASK] = max(reg[g.HIGH_ASK], face[2])
    reg[g.LOOKS] += 1


@step
def open_bin(grid: Grid) -> None:
    """Reset the counters of the open bin; its first look is the book as it stands."""
    reg = grid.reg
    reg[g.STAMP] += 1
    for r in range(g.EVENTS, g.LOOKS + 1):
        reg[r] = 0
    if grid.face[4] == _VALID:
        widen(reg, grid.face)


@kernel
def spot_of(book: Book, grid: Grid) -> Int:
    """Return the absolute tick of row k = 0: the last valid middle, at first the anchor."""
    if grid.reg[g.SPOT_SET] != 0:
        return grid.reg[g.SPOT]
    if book.reg[b.ANCHORED] != 0:
        return book.reg[b.BASE] + book.n[0] // 2
    return np.int64(0)


@step
def sign(x: Int) -> Int:
    """Return -1, 0 or 1."""
    return np.int64(x > 0) - np.int64(x < 0)


@step
def emit_bin(book: Book, grid: Grid, out: Out, o: Int, tick_size: Int) -> None:
    """Write the bin row ``o``; the order of values is ``grid.state.BIN_INTS``."""
    reg, face = grid.reg, grid.face
    valid = face[4] == _VALID
    row = out.bins[:, o]
    row[0] = reg[g.BIN_SEQ]
    row[1] = reg[g.BIN_END]
    row[2] = reg[g.BIN_START]
    row[3] = reg[g.BIN_END]
    row[4] = reg[g.EVENTS]
    row[5] = reg[g.RECORDS]
    row[6] = book.reg[b.EVENT_ID]
    row[7] = face[0] + face[2] if valid else 0
    row[8] = spot_of(book, grid) * tick_size
    row[9] = face[0] * tick_size if face[1] > 0 else _UNDEF
    row[10] = face[2] * tick_size if face[3] > 0 else _UNDEF
    row[11] = face[1]
    row[12] = face[3]
    seen = reg[g.LOOKS] > 0
    for i in range(4):
        row[13 + i] = reg[g.LOW_BID + i] * tick_size if seen else _UNDEF
    row[17] = reg[g.TRADE_BUY_SIZE]
    row[18] = reg[g.TRADE_SELL_SIZE]
    row[19] = reg[g.TRADE_NONE_SIZE]
    row[20] = reg[g.TRADES]
    row[21] = reg[g.OFI]
    row[22] = valid
    row[23] = face[4]
    ask_move = np.int64(0)
    bid_move = np.int64(0)
    if valid:
        if reg[g.LAST_VALID_SET] != 0:
            ask_move = face[2] - reg[g.LAST_VALID_ASK]
            bid_move = face[0] - reg[g.LAST_VALID_BID]
        reg[g.LAST_VALID_SET] = 1
        reg[g.LAST_VALID_BID] = face[0]
        reg[g.LAST_VALID_ASK] = face[2]
    row[24] = ask_move
    row[25] = bid_move
    row[26] = sign(ask_move)
    row[27] = sign(bid_move)
    row[28] = 3 * (sign(ask_move) + 1) + sign(bid_move) + 1
    row[29] = ask_move > 0 and bid_move > 0
    row[30] = ask_move < 0 and bid_move < 0


@step
def emit_window(book: Book, grid: Grid, constants: Constants, out: Out, o: Int) -> None:
    """Write the 2K + 1 tick rows ``o``; every value from the state at the bin's end."""
    rows = 2 * constants.radius + 1
    if book.reg[b.ANCHORED] == 0:
        out.counts[:, o, :] = 0
        out.mechanics[:, o, :] = 0.0
        out.last_event[o, :] = 0
        return
    low = spot_of(book, grid) - constants.radius - book.reg[b.BASE]
    emit_counts(book, grid, out, o, low, rows)
    read_coefficients(
        constants.rate,
        constants.read_out,
        grid.reg[g.BIN_END] - grid.reg[g.LANDMARK],
        constants.coefficient,
    )
    result = constants.result
    read_window(grid.sums, low, rows, constants.coefficient, constants.joined, result)
    for q in range(result.shape[0]):
        source = result[q]
        target = out.mechanics[q, o]
        for i in range(rows):
            target[i] = np.float32(source[i])


@step
def emit_counts(book: Book, grid: Grid, out: Out, o: Int, low: Int, rows: Int) -> None:
    """Write depth, counts of the open bin and last event of the window's ticks."""
    stamp = grid.reg[g.STAMP]
    bid = book.depth[b.BID, low : low + rows]
    ask = book.depth[b.ASK, low : low + rows]
    for i in range(rows):
        out.counts[0, o, i] = bid[i]
        out.counts[1, o, i] = ask[i]
        out.counts[2, o, i] = bid[i] + ask[i]
        out.last_event[o, i] = grid.last_event[low + i]
    for c in range(b.N_TICK_CHANNELS):
        target = out.counts[3 + c, o]
        for i in range(rows):
            target[i] = 0
    for i in range(rows):
        if grid.stamp[low + i] == stamp:
            for c in range(b.N_TICK_CHANNELS):
                out.counts[3 + c, o, i] = grid.flow[low + i, c]


@step
def add_rows(x: NDArray[np.float64], y: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write x + y."""
    for i in range(out.shape[0]):
        out[i] = x[i] + y[i]


@step
def subtract_rows(
    x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Write (x - y) - z."""
    for i in range(out.shape[0]):
        out[i] = (x[i] - y[i]) - z[i]


@step
def read_chain(
    sv: NDArray[np.float64],
    sa: NDArray[np.float64],
    sj: NDArray[np.float64],
    c: NDArray[np.float64],
    v: NDArray[np.float64],
    a: NDArray[np.float64],
    j: NDArray[np.float64],
) -> None:
    """Write velocity, acceleration and jerk of one chain from its forward sums."""
    # One output a loop: the compiler then vectorises each.
    for i in range(v.shape[0]):
        v[i] = c[0] * sv[i]
    for i in range(a.shape[0]):
        a[i] = c[1] * sv[i] + c[2] * sa[i]
    for i in range(j.shape[0]):
        j[i] = (c[3] * sv[i] + c[4] * sa[i]) + c[5] * sj[i]


@kernel
def read_window(
    sums: NDArray[np.float64],
    low: Int,
    rows: Int,
    c: NDArray[np.float64],
    joined: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Read masses and chains of a window of ticks from their forward sums.

    Parameters
    ----------
    sums : ndarray of float64, shape (24, slots)
        Channel-major, four rates each.
    low, rows : int
        First slot and number of slots.
    c : ndarray of float64, shape (7,)
        Coefficients of :func:`qmachina.grid.mechanics.read_coefficients`.
    joined : ndarray of float64, shape (3, rows)
        Scratch.
    out : ndarray of float64, shape (21, rows)
        Mass of add, pull, fill; then v, a, j of add, pull, fill, bid_depth, ask_depth and
        rest_depth. The read-out is linear, so sides are joined before it.
    """
    high = low + rows
    for chain in range(3):  # add, pull, fill: bid channel 2 * chain, ask channel after it
        bid = 8 * chain
        ask = bid + 4
        for r in range(3):
            add_rows(sums[bid + r, low:high], sums[ask + r, low:high], joined[r])
        read_chain(
            joined[0], joined[1], joined[2], c, out[3 + chain], out[9 + chain], out[15 + chain]
        )
        add_rows(sums[bid + 3, low:high], sums[ask + 3, low:high], joined[0])
        mass = out[chain]
        for i in range(rows):
            mass[i] = c[6] * joined[0, i]
    for side in range(2):  # depth: add - pull - fill
        for r in range(3):
            p = 4 * side + r
            subtract_rows(
                sums[p, low:high], sums[p + 8, low:high], sums[p + 16, low:high], joined[r]
            )
        read_chain(
            joined[0], joined[1], joined[2], c, out[6 + side], out[12 + side], out[18 + side]
        )
    for order in range(3):
        add_rows(out[6 + 6 * order], out[7 + 6 * order], out[8 + 6 * order])


@cold
def close_bin(book: Book, grid: Grid, constants: Constants, out: Out, tick_size: Int) -> None:
    """Emit the open bin, whose end the clock has reached, and open the next."""
    reg = grid.reg
    renew(grid.sums, reg, constants, reg[g.BIN_END])
    o = reg[g.N_OUT]
    emit_bin(book, grid, out, o, tick_size)
    emit_window(book, grid, constants, out, o)
    reg[g.N_OUT] = o + 1
    reg[g.BIN_SEQ] += 1
    reg[g.BIN_START] = reg[g.BIN_END]
    reg[g.BIN_END] += constants.bin_ns
    open_bin(grid)


@kernel
def close_bins(
    book: Book, grid: Grid, constants: Constants, out: Out, tick_size: Int, time: Int
) -> Int:
    """Close every bin that ends at or before ``time`` and begins before the end of the day's run.

    Returns ``OK`` or ``OUT_FULL``.
    """
    reg = grid.reg
    while reg[g.BIN_END] <= time and reg[g.BIN_START] < constants.end_ns:
        if reg[g.N_OUT] == out.last_event.shape[0]:
            return b.OUT_FULL
        close_bin(book, grid, constants, out, tick_size)
    return OK


@kernel
def begin(grid: Grid, constants: Constants, time: Int) -> None:
    """Open the first bin: at start_ns, or at the bin that contains ``time``."""
    reg = grid.reg
    reg[g.STARTED] = 1
    start = constants.start_ns if constants.start_ns >= 0 else time - time % constants.bin_ns
    reg[g.BIN_START] = start
    reg[g.BIN_END] = start + constants.bin_ns
    open_bin(grid)


@step
def event_time(book: Book, records: NDArray, start: Int, stop: Int, event_clock: bool) -> Int:
    """Return the time an event will have: the running maximum of the clock's stamps."""
    time = book.reg[b.CLOCK]
    for i in range(start, stop):
        stamp = np.int64(records[i]["ts_event"] if event_clock else records[i]["ts_recv"])
        time = max(time, stamp)
    return time


@kernel
def advance_grid(
    book: Book,
    impulses: Impulses,
    grid: Grid,
    constants: Constants,
    out: Out,
    records: NDArray,
    checked: Int,
    final: bool,
    tick_size: Int,
    event_clock: bool,
    sync_ns: Int,
    strict: bool,
) -> tuple[Int, Int, Int]:
    """Apply all complete events of a run of records, closing bins on the way.

    Returns
    -------
    tuple of (status, consumed, record)
        ``OK``, how many records were consumed, and the index of an impossible record.
    """
    reg = grid.reg
    start = 0
    n = records.shape[0]
    if reg[g.EMIT_DUE] != 0:  # held back until the arrays were re-anchored
        emit_event(book, grid, constants, out, tick_size)
    while start < n:
        status, stop = next_event(book, impulses, records, start, n, checked, final, tick_size)
        if status != OK:
            return status, start, start
        if stop < 0:
            break
        time = event_time(book, records, start, stop, event_clock)
        live = records[stop - 1]["flags"] & _F_SNAPSHOT == 0
        seen = live or reg[g.LAST_TIME] >= 0
        if reg[g.STARTED] == 0 and seen and time >= constants.start_ns:
            begin(grid, constants, time)
        if reg[g.STARTED] != 0 and not constants.emit_events:
            status = close_bins(book, grid, constants, out, tick_size, time)
            if status != OK:
                return status, start, start
        if constants.emit_events and reg[g.N_OUT] == out.last_event.shape[0]:
            return b.OUT_FULL, start, start
        renew(grid.sums, reg, constants, time)
        if is_unterminated(records[stop - 1]):
            book.anomalies[_UNTERMINATED] += 1
        status, at = apply_event(
            book, impulses, records, start, stop, tick_size, event_clock, sync_ns, strict
        )
        if status != OK:
            return status, start, at
        collect(book, impulses, grid, constants)
        reg[g.EVENTS] += 1
        reg[g.RECORDS] += stop - start
        look_after(book, grid)
        if live:
            reg[g.LAST_TIME] = time
        checked = 0
        start = stop
        if constants.emit_events and live and reg[g.STARTED] != 0:
            reg[g.EMIT_DUE] = 1
        if wants_anchor(book):
            return b.REANCHOR, stop, stop
        if reg[g.EMIT_DUE] != 0:
            emit_event(book, grid, constants, out, tick_size)
    return OK, start, start


@cold
def emit_event(book: Book, grid: Grid, constants: Constants, out: Out, tick_size: Int) -> None:
    """Emit one row at the time of the last event instead of at a bin's end."""
    reg = grid.reg
    reg[g.EMIT_DUE] = 0
    time = book.reg[b.CLOCK]
    if time >= constants.end_ns:
        return
    if reg[g.BIN_SEQ] == 0:
        reg[g.BIN_START] = time
    reg[g.BIN_END] = time
    close_bin(book, grid, constants, out, tick_size)
