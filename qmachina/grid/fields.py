"""The silver dataset as data: every column of ``bins`` and ``grid``, in order.

The Parquet schema, the wire schema, the contract and the glossary derive from these tables.
Prices are int64 in 1e-9 units, absent prices 2^63 - 1; sizes are int64 in the venue's unit.
Derived floats are float32, each rounded once from its own float64 value.
"""

from __future__ import annotations

from qmachina.fields import Field

BIN_FIELDS: tuple[Field, ...] = (
    Field("bin_seq", "int64", "1", "Number of the bin, from 0 at the first emitted bin."),
    Field("ts_ns", "int64", "ns", "Time of emission: the end of the bin."),
    Field("bin_start_ns", "int64", "ns", "Start of the bin, inclusive."),
    Field("bin_end_ns", "int64", "ns", "End of the bin, exclusive."),
    Field("bin_event_count", "int64", "events", "Events inside the bin."),
    Field("bin_record_count", "int64", "records", "Records inside the bin."),
    Field("event_id", "int64", "1", "Number of the last event, from 1 at the start of the file."),
    Field("mid_price", "float64", "price", "Middle of best bid and ask; 0 without a valid mid."),
    Field("mid_x2", "int64", "ticks", "Best bid plus best ask; 0 without a valid mid."),
    Field("spot_ref_price_int", "int64", "1e-9", "Price of row k = 0."),
    Field("spot_valid", "bool", "flag", "Whether row k = 0 follows a valid mid of this bin."),
    Field("best_bid_price_int", "int64", "1e-9", "Best bid, 2^63 - 1 where absent."),
    Field("best_ask_price_int", "int64", "1e-9", "Best ask, 2^63 - 1 where absent."),
    Field("best_bid_size", "int64", "size", "Size at the best bid."),
    Field("best_ask_size", "int64", "size", "Size at the best ask."),
    Field("lowest_best_bid_int", "int64", "1e-9", "Lowest best bid while valid in the bin."),
    Field("highest_best_bid_int", "int64", "1e-9", "Highest best bid while valid in the bin."),
    Field("lowest_best_ask_int", "int64", "1e-9", "Lowest best ask while valid in the bin."),
    Field("highest_best_ask_int", "int64", "1e-9", "Highest best ask while valid in the bin."),
    Field("trade_buy_size", "int64", "size", "Traded by buying aggressors, on-grid."),
    Field("trade_sell_size", "int64", "size", "Traded by selling aggressors, on-grid."),
    Field("trade_unattributed_size", "int64", "size", "Traded without a side or off-grid."),
    Field("trade_count", "int64", "trades", "Trade records in the bin."),
    Field("ofi_best", "int64", "size", "Order-flow imbalance at the touch, event by event."),
    Field("book_valid", "bool", "flag", "Whether the book is valid at the end of the bin."),
    Field("book_state", "int8", "code", "0 unsynced .. 5 crossed, see BookState."),
    Field("best_ask_move_ticks", "int64", "ticks", "Best ask against the last valid bin."),
    Field("best_bid_move_ticks", "int64", "ticks", "Best bid against the last valid bin."),
    Field("ask_reprice_sign", "int8", "sign", "Sign of best_ask_move_ticks."),
    Field("bid_reprice_sign", "int8", "sign", "Sign of best_bid_move_ticks."),
    Field("microstate_id", "int8", "code", "3 (ask sign + 1) + (bid sign + 1)."),
    Field("chase_up_flag", "bool", "flag", "Both best prices rose."),
    Field("chase_down_flag", "bool", "flag", "Both best prices fell."),
)

#: Integer columns of the grid: state at the bin's end, then counts inside the bin.
GRID_COUNTS: tuple[Field, ...] = (
    Field("bid_depth", "int64", "size", "Resting bid size at the end of the bin."),
    Field("ask_depth", "int64", "size", "Resting ask size at the end of the bin."),
    Field("rest_depth", "int64", "size", "bid_depth + ask_depth."),
    Field("add_bid", "int64", "size", "Size added to bids in the bin."),
    Field("add_ask", "int64", "size", "Size added to asks in the bin."),
    Field("pull_bid", "int64", "size", "Size cancelled from bids in the bin."),
    Field("pull_ask", "int64", "size", "Size cancelled from asks in the bin."),
    Field("fill_bid", "int64", "size", "Size executed from bids in the bin."),
    Field("fill_ask", "int64", "size", "Size executed from asks in the bin."),
    Field("reset_bid", "int64", "size", "Bid depth changed by clears and snapshots, signed."),
    Field("reset_ask", "int64", "size", "Ask depth changed by clears and snapshots, signed."),
    Field("trade_buy", "int64", "size", "Traded by buying aggressors in the bin."),
    Field("trade_sell", "int64", "size", "Traded by selling aggressors in the bin."),
)

_CHAINS = (
    ("add", "added size"),
    ("pull", "cancelled size"),
    ("fill", "executed size"),
    ("bid_depth", "bid depth (add - pull - fill)"),
    ("ask_depth", "ask depth (add - pull - fill)"),
    ("rest_depth", "resting depth (bid + ask)"),
)

#: Derived columns of the grid: masses, then velocities, accelerations and jerks.
GRID_MECHANICS: tuple[Field, ...] = (
    Field("add_mass", "float32", "size", "Decayed sum of added size.", "force"),
    Field("pull_mass", "float32", "size", "Decayed sum of cancelled size.", "force"),
    Field("fill_mass", "float32", "size", "Decayed sum of executed size.", "force"),
    *(Field(f"v_{n}", "float32", "size/s", f"Velocity of {m}.", "velocity") for n, m in _CHAINS),
    *(
        Field(f"a_{n}", "float32", "size/s^2", f"Acceleration of {m}.", "acceleration")
        for n, m in _CHAINS
    ),
    *(Field(f"j_{n}", "float32", "size/s^3", f"Jerk of {m}.", "jerk") for n, m in _CHAINS),
)

GRID_FIELDS: tuple[Field, ...] = (
    Field("bin_seq", "int64", "1", "Number of the bin."),
    Field("k", "int32", "ticks", "Ticks from spot, -K..+K.", "grid_index"),
    *GRID_COUNTS,
    *GRID_MECHANICS,
    Field(
        "last_event_id", "int64", "1", "Number of the last event that changed this tick's depth."
    ),
)
