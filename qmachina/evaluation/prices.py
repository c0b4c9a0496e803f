"""The price path of one date: what the evaluator is allowed to see of the market.

Sizes play no part. Prices are whole ticks, and only ``book_valid`` says whether they mean
anything: zero and negative prices are legal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmachina import market
from qmachina.errors import DataError, RecordError, SchemaError

_PRICES = ("bid", "ask", "bid_lo", "bid_hi", "ask_lo", "ask_hi")
_COLUMNS = {
    "bid": "best_bid_price_int",
    "ask": "best_ask_price_int",
    "bid_lo": "lowest_best_bid_int",
    "bid_hi": "highest_best_bid_int",
    "ask_lo": "lowest_best_ask_int",
    "ask_hi": "highest_best_ask_int",
}
#: Prices stay this far from the ends of int64, so that doubling and adding barriers cannot wrap.
MAX_PRICE_TICKS = 2**60


@dataclass(frozen=True, eq=False)
class Path:
    """Best prices of one date, one row a bin; the bins are consecutive.

    Parameters
    ----------
    ts_end : ndarray of int64, shape (n_bins,)
        End of the bin, ns; rises by ``bin_ns``.
    bid, ask : ndarray of int64, shape (n_bins,)
        Best prices at the end of the bin, ticks. Meaningless where not ``valid``.
    bid_lo, bid_hi, ask_lo, ask_hi : ndarray of int64, shape (n_bins,)
        Their extremes inside the bin, ticks, the end of the bin included.
    valid : ndarray of bool, shape (n_bins,)
        Whether the book was valid at the end of the bin.
    in_session : ndarray of bool, shape (n_bins,)
        Whether the venue trades, from the calendar. The last such bin is the close.
    bin_ns : int
        Bin width, ns.
    tick_value : float
        Currency per tick and contract.

    Raises
    ------
    DataError
        If lengths or dtypes differ, times are not consecutive, or the prices of a valid bin lie
        outside their extremes.
    """

    ts_end: NDArray[np.int64]
    bid: NDArray[np.int64]
    ask: NDArray[np.int64]
    bid_lo: NDArray[np.int64]
    bid_hi: NDArray[np.int64]
    ask_lo: NDArray[np.int64]
    ask_hi: NDArray[np.int64]
    valid: NDArray[np.bool_]
    in_session: NDArray[np.bool_]
    bin_ns: int
    tick_value: float

    def __post_init__(self) -> None:
        n = self.ts_end.shape[0]
        for name in ("ts_end", *_PRICES, "valid", "in_session"):
            column: NDArray = getattr(self, name)
            dtype = bool if name in ("valid", "in_session") else np.int64
            if column.shape != (n,) or column.dtype != dtype:
                raise DataError(
                    f"column {name} does not fit",
                    subject="path",
                    expected=f"{np.dtype(dtype)} of shape ({n},)",
                    found=f"{column.dtype} of shape {column.shape}",
                )
        if self.bin_ns <= 0:
            raise DataError("bin_ns is not positive", subject="path", found=self.bin_ns)
        if not (np.isfinite(self.tick_value) and self.tick_value > 0):
            raise DataError("tick_value is not positive", subject="path", found=self.tick_value)
        _refuse_first(np.diff(self.ts_end) != self.bin_ns, "bins are not consecutive", offset=1)
        for name in _PRICES:
            price: NDArray[np.int64] = getattr(self, name)
            far = (price > MAX_PRICE_TICKS) | (price < -MAX_PRICE_TICKS)
            _refuse_first(self.valid & far, f"{name} is no price, though the book is valid")
        for close, low, high in (("bid", "bid_lo", "bid_hi"), ("ask", "ask_lo", "ask_hi")):
            p, lo, hi = getattr(self, close), getattr(self, low), getattr(self, high)
            _refuse_first(self.valid & ((p < lo) | (p > hi)), f"{close} lies outside {low}..{high}")

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return int(self.ts_end.shape[0])

    @property
    def tradable(self) -> NDArray[np.bool_]:
        """Whether a bin may trigger, touch or price anything, shape (n_bins,).

        True where the book is valid, in session and not crossed; locked counts.
        """
        return self.valid & self.in_session & (self.ask >= self.bid)


def from_bins(
    bins: Mapping[str, NDArray],
    tick_size_int: int,
    *,
    tick_value: float,
    bin_ns: int,
    in_session: NDArray[np.bool_] | None = None,
) -> Path:
    """Read a path from the columns of the silver bins.

    Parameters
    ----------
    bins : mapping of str to ndarray, shape (n_bins,)
        At least ``ts_ns``, ``book_valid``, ``book_state``, the best prices, and either all four
        columns of their extremes or none (then the closing prices stand for them).
    tick_size_int : int
        Tick size, 1e-9.
    tick_value : float
        Currency per tick and contract.
    bin_ns : int
        Bin width, ns.
    in_session : ndarray of bool, shape (n_bins,), optional
        From the calendar; default all bins.

    Raises
    ------
    SchemaError
        If a column is missing.
    RecordError
        If a price of a valid bin is absent or not a multiple of the tick size.
    """
    extremes = [f for f in ("bid_lo", "bid_hi", "ask_lo", "ask_hi") if _COLUMNS[f] in bins]
    needed = ["ts_ns", "book_valid", "book_state", _COLUMNS["bid"], _COLUMNS["ask"]]
    if extremes:
        needed += [_COLUMNS[f] for f in _PRICES[2:]]
    missing = [name for name in needed if name not in bins]
    if missing:
        raise SchemaError("columns are missing", subject="bins", expected=", ".join(missing))
    if tick_size_int <= 0:
        raise DataError("tick_size_int is not positive", subject="path", found=tick_size_int)
    crossed = np.asarray(bins["book_state"]) == int(market.BookState.CROSSED)
    valid = np.asarray(bins["book_valid"], dtype=bool) & ~crossed
    prices = {
        field: _ticks(bins[_COLUMNS[field]], valid, tick_size_int, _COLUMNS[field])
        for field in ("bid", "ask", *extremes)
    }
    if not extremes:
        prices |= {f: prices[f[:3]] for f in ("bid_lo", "bid_hi", "ask_lo", "ask_hi")}
    return Path(
        ts_end=np.asarray(bins["ts_ns"], dtype=np.int64),
        **prices,
        valid=valid,
        in_session=np.ones(valid.shape, bool) if in_session is None else in_session,
        bin_ns=bin_ns,
        tick_value=float(tick_value),
    )


def _ticks(
    column: NDArray, valid: NDArray[np.bool_], tick_size_int: int, name: str
) -> NDArray[np.int64]:
    # Prices of invalid bins are set to 0: nobody reads them, and nothing can be read into them.
    price = np.where(valid, np.asarray(column, dtype=np.int64), 0)
    for wrong, what in (
        (price == market.UNDEF_PRICE, "is absent, though the book is valid"),
        (price % tick_size_int != 0, f"is not a multiple of the tick size {tick_size_int}"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise RecordError(f"{name} {what}", subject=f"bin {row}", found=int(price[row]))
    return price // tick_size_int


def _refuse_first(wrong: NDArray[np.bool_], what: str, offset: int = 0) -> None:
    if wrong.any():
        raise DataError(what, subject=f"path, bin {int(np.argmax(wrong)) + offset}")
