"""What a market-by-order record is: actions, sides, flags, the 56-byte layout, prices and ticks.

Values follow Databento's DBN encoding. Prices are int64 in units of 1e-9, sizes are counts in
the venue's unit, times are nanoseconds since the epoch (UTC).
"""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum, IntFlag

import numpy as np

from qmachina.errors import SpecError

#: int64 stands for "no price".
UNDEF_PRICE = 2**63 - 1
#: uint64 stands for "no time".
UNDEF_TIME = 2**64 - 1
#: Prices are counted in units of 1e-9.
PRICE_SCALE = 1_000_000_000
DAY_NS = 86_400 * 1_000_000_000
#: Record type of a market-by-order record in DBN.
RTYPE_MBO = 0xA0


class Action(IntEnum):
    """What a record does (ASCII code of its letter)."""

    ADD = ord("A")
    CANCEL = ord("C")
    MODIFY = ord("M")
    CLEAR = ord("R")
    TRADE = ord("T")
    FILL = ord("F")
    NONE = ord("N")


class Side(IntEnum):
    """Resting side, or the aggressor's side of a trade (ASCII code of its letter)."""

    BID = ord("B")
    ASK = ord("A")
    NONE = ord("N")


class Flag(IntFlag):
    """Bits of the flags byte. Always test bits, never equality."""

    PUBLISHER_SPECIFIC = 2
    MAYBE_BAD_BOOK = 4
    BAD_TS_RECV = 8
    MBP = 16
    SNAPSHOT = 32
    TOB = 64
    LAST = 128


class BookState(IntEnum):
    """What can be said of the book at an event boundary."""

    UNSYNCED = 0
    BUILDING = 1
    EMPTY = 2
    ONE_SIDED = 3
    VALID = 4
    CROSSED = 5


#: One DBN market-by-order record, any DBN version. ``action`` and ``side`` are ASCII codes.
MBO_DTYPE = np.dtype(
    [
        ("length", "u1"),
        ("rtype", "u1"),
        ("publisher_id", "<u2"),
        ("instrument_id", "<u4"),
        ("ts_event", "<u8"),
        ("order_id", "<u8"),
        ("price", "<i8"),
        ("size", "<u4"),
        ("flags", "u1"),
        ("channel_id", "u1"),
        ("action", "u1"),
        ("side", "u1"),
        ("ts_recv", "<u8"),
        ("ts_in_delta", "<i4"),
        ("sequence", "<u4"),
    ]
)
assert MBO_DTYPE.itemsize == 56


def tick_size_int(tick_size: Decimal | str | float) -> int:
    """Return a tick size in units of 1e-9.

    Parameters
    ----------
    tick_size : Decimal, str or float
        Tick size in currency, e.g. ``0.25``. Floats are read by their shortest representation.

    Raises
    ------
    SpecError
        If it is not positive or finer than 1e-9.
    """
    scaled = Decimal(str(tick_size)) * PRICE_SCALE
    if scaled <= 0 or scaled != int(scaled):
        raise SpecError("tick_size is not a positive multiple of 0.000000001", found=tick_size)
    return int(scaled)


def price_text(price_int: int, decimals: int = 9) -> str:
    """Return a price in 1e-9 units as plain decimal text without trailing zeros."""
    text = f"{Decimal(int(price_int)) / PRICE_SCALE:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
