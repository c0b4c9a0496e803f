// Frames for the tests: a small configuration and bins of it.

import { Bool, Float32, Float64, Int32, Int64, Int8, Table, tableToIPC, vectorFromArray, type DataType } from "apache-arrow";
import type { DType } from "../src/contract.ts";

const field = (name: string, dtype: DType, role = "metadata", unit = "1") => ({ name, dtype, role, unit, meaning: `${name}.` });

export const GRID = [
  field("k", "int32", "grid_index", "ticks"),
  field("last_event_id", "int64"),
  field("pressure_variant", "float32", "force", "size/s"),
  field("vacuum_variant", "float32", "force", "size/s"),
  field("rest_depth", "int64", "metadata", "size"),
  field("touched", "bool", "metadata", "flag"),
];
export const RADIUS = 2;
export const ROWS = 5;
export const TICK = 250_000_000n;

export function config(changes: object = {}) {
  return {
    type: "runtime_config", protocol_version: 1, epoch: "aa01", stream_format: "dense_grid",
    instrument: {
      symbol: "ESH6", product_type: "future_mbo", dataset: "GLBX.MDP3", tick_size_int: String(TICK),
      price_decimals: 2, currency: "USD", multiplier: "50", time_zone: "America/Chicago",
    },
    bin_ns: "100000000", grid_radius_ticks: RADIUS, grid_rows: ROWS,
    grid_schema_fields: GRID,
    bin_schema_fields: [field("score", "float64", "signal"), field("ready", "bool"), field("n", "int64")],
    model_config: { model_id: "m", params: {}, warmup_bins: 3 },
    serving: {
      serving_name: "demo", serving_id: "s1", display_name: "Demo", verdict: "UNDECIDED",
      source: { run_id: "r", experiment_name: "e", promoted_at_utc: "2026-02-07T00:00:00Z" },
    },
    source: { kind: "replay", dt: "2026-02-06", speed: null },
    visualization: { default_field: "net_force" },
    state_hash: "00",
    ...changes,
  };
}

export const SPOT = 24_000;

export function update(seq: number, changes: object = {}) {
  const start = 1_770_388_200_000_000_000n + BigInt(seq) * 100_000_000n;
  const price = (tick: number): string => String(BigInt(tick) * TICK);
  return {
    type: "grid_update", seq: String(seq), bin_seq: String(seq), ts_ns: String(start + 100_000_000n),
    bin_start_ns: String(start), bin_end_ns: String(start + 100_000_000n), event_id: "9", bin_event_count: 4,
    mid_price: 6000.125, mid_x2: String(2 * SPOT + 1), spot_ref_price_int: price(SPOT),
    best_bid_price_int: price(SPOT), best_ask_price_int: price(SPOT + 1), best_bid_size: "3", best_ask_size: "4",
    book_valid: true, spot_valid: true, book_state: "valid", values: { score: 0.25, ready: true, n: "4611686018427387904" },
    ...changes,
  };
}

const TYPES: Record<DType, () => DataType> = {
  bool: () => new Bool(), int8: () => new Int8(), int32: () => new Int32(),
  int64: () => new Int64(), float32: () => new Float32(), float64: () => new Float64(),
};

// One bin's message; `columns` replace the made ones, which are distinct in every cell.
export function grid(seq: number, columns: Record<string, readonly (number | bigint | boolean | null)[]> = {}, fields = GRID): ArrayBuffer {
  const rows = Array.from({ length: ROWS }, (_, i) => i);
  const made: Record<string, readonly (number | bigint | boolean | null)[]> = {
    k: rows.map((i) => i - RADIUS),
    last_event_id: rows.map((i) => BigInt(seq * 10 + i)),
    pressure_variant: rows.map((i) => seq + i / 4),
    vacuum_variant: rows.map((i) => i),
    rest_depth: rows.map((i) => BigInt(i)),
    touched: rows.map((i) => i % 2 === 0),
    ...columns,
  };
  const vectors = Object.fromEntries(fields.map((f) => [f.name, vectorFromArray(made[f.name] as never, TYPES[f.dtype]())]));
  return tableToIPC(new Table(vectors), "stream").slice().buffer as ArrayBuffer;
}
