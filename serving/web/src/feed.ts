// From frames to columns: pairs each grid_update with its binary message, keeps epochs apart and
// fills the ring. It decides what the frames mean; it neither draws nor connects.

import {
  binValues, BOOK_STATES, ContractError, parseFrame, type GridUpdate, type RuntimeConfig,
} from "./contract.ts";
import { decodeGrid, type Numbers } from "./decode.ts";
import { createRing, has, put, READY, slotOf, VALID, type Column, type Ring } from "./ring.ts";

// One serving version in one server process. Its bins have x = offset + seq.
export interface Epoch {
  readonly config: RuntimeConfig;
  offset: number | null; // known with the first bin
  firstX: number;
  lastSeq: bigint; // newest bin taken in, -1 before the first
}

export interface Configured {
  readonly kind: "configured";
  readonly epoch: Epoch;
  readonly resume: bigint | null; // newest bin held of the same epoch
  readonly fresh: boolean; // the ring is new
}

export type Happening =
  | Configured
  | { readonly kind: "column"; readonly x: number }
  | { readonly kind: "late"; readonly seq: bigint } // too old to have a place
  | { readonly kind: "changed"; readonly epoch: Epoch; readonly previous: Epoch; readonly fresh: boolean }
  | { readonly kind: "skipped"; readonly bins: number }
  | { readonly kind: "gap"; readonly from: bigint; readonly to: bigint }
  | { readonly kind: "error"; readonly message: string }
  | { readonly kind: "end"; readonly reason: string };

export interface Feed {
  ring: Ring | null;
  epochs: Epoch[];
  pending: GridUpdate | null;
}

export function createFeed(): Feed {
  return { ring: null, epochs: [], pending: null };
}

export const currentEpoch = (feed: Feed): Epoch | undefined => feed.epochs.at(-1);

// Epochs further apart than this are drawn this many bins apart.
const WIDEST_BREAK = 64;

export function takeText(feed: Feed, text: string): Happening | null {
  const frame = parseFrame(text);
  if (feed.pending !== null) {
    throw new ContractError(`${frame.type} came where the binary message of bin ${feed.pending.seq} was due`);
  }
  switch (frame.type) {
    case "runtime_config":
      return configure(feed, frame);
    case "serving_changed": {
      const previous = currentEpoch(feed);
      if (previous === undefined) throw new ContractError("serving_changed came before runtime_config");
      const { epoch, fresh } = configure(feed, frame.runtime_config);
      return { kind: "changed", epoch, previous, fresh };
    }
    case "grid_update":
      if (feed.ring === null) throw new ContractError("grid_update came before runtime_config");
      feed.pending = frame;
      return null;
    case "skipped":
      return { kind: "skipped", bins: frame.bins };
    case "gap":
      return { kind: "gap", from: frame.from_seq, to: frame.to_seq };
    case "error":
      return { kind: "error", message: frame.message };
    case "end":
      return { kind: "end", reason: frame.reason };
  }
}

export function takeBinary(feed: Feed, message: ArrayBuffer): Happening {
  const update = feed.pending;
  const epoch = currentEpoch(feed);
  if (update === null || epoch === undefined || feed.ring === null) {
    throw new ContractError("a binary message came without its grid_update");
  }
  feed.pending = null;
  const x = place(feed.ring, epoch, update);
  const grid = decodeGrid(message, epoch.config);
  const received = column(epoch, feed.epochs.length - 1, update, x, grid);
  if (x < epoch.firstX || !put(feed.ring, received)) return { kind: "late", seq: update.seq };
  if (update.seq > epoch.lastSeq) epoch.lastSeq = update.seq;
  return { kind: "column", x };
}

// A lost connection takes a half-received bin with it.
export function disconnected(feed: Feed): void {
  feed.pending = null;
}

function configure(feed: Feed, config: RuntimeConfig): Configured {
  const previous = currentEpoch(feed);
  if (previous?.config.epoch === config.epoch) {
    return { kind: "configured", epoch: previous, resume: previous.lastSeq < 0n ? null : previous.lastSeq, fresh: false };
  }
  const epoch: Epoch = { config, offset: null, firstX: NaN, lastSeq: -1n };
  const fresh = previous === undefined || feed.ring === null || geometry(previous.config) !== geometry(config);
  if (fresh) {
    feed.ring = createRing(config.grid_schema_fields, config.bin_schema_fields, config.grid_radius_ticks);
    feed.epochs = [];
  }
  feed.epochs.push(epoch);
  return { kind: "configured", epoch, resume: null, fresh };
}

// What must be equal for two epochs to share one ring and one price axis.
function geometry(config: RuntimeConfig): string {
  const { instrument } = config;
  const columns = [config.grid_schema_fields, config.bin_schema_fields];
  const shape = columns.map((fields) => fields.map((f) => `${f.name} ${f.dtype} ${f.unit}`));
  return JSON.stringify([
    instrument.symbol, instrument.dataset, String(instrument.tick_size_int), String(config.bin_ns), config.grid_rows, shape,
  ]);
}

// The place of a bin; the first bin of an epoch also decides where the epoch stands.
function place(ring: Ring, epoch: Epoch, update: GridUpdate): number {
  const seq = Number(update.seq);
  if (epoch.offset === null) {
    epoch.firstX = ring.head < 0 ? 0 : ring.head + 1 + binsBetween(ring, epoch, update);
    epoch.offset = epoch.firstX - seq;
  }
  return epoch.offset + seq;
}

function binsBetween(ring: Ring, epoch: Epoch, update: GridUpdate): number {
  if (!has(ring, ring.head)) return 0;
  const pause = update.bin_start_ns - ring.endNs[slotOf(ring, ring.head)]!;
  const bins = Number(pause / epoch.config.bin_ns);
  return Math.min(WIDEST_BREAK, Math.max(0, bins));
}

function column(epoch: Epoch, index: number, update: GridUpdate, x: number, grid: Numbers[]): Column {
  const { config } = epoch;
  const values = binValues(config.bin_schema_fields, update.values);
  const ready = config.bin_schema_fields.findIndex((f) => f.name === "ready");
  const warm = ready < 0 || values[ready] === 1;
  const tick = config.instrument.tick_size_int;
  return {
    x, seq: Number(update.seq), epoch: index, endNs: update.bin_end_ns,
    spot: ticks(update.spot_ref_price_int, tick, "spot_ref_price_int"),
    bid: update.best_bid_price_int === null ? NaN : ticks(update.best_bid_price_int, tick, "best_bid_price_int"),
    ask: update.best_ask_price_int === null ? NaN : ticks(update.best_ask_price_int, tick, "best_ask_price_int"),
    bidSize: Number(update.best_bid_size), askSize: Number(update.best_ask_size),
    // mid_price is 0 without a valid mid; mid_x2 alone could be 0 at a price of zero.
    midX2: update.book_valid ? Number(update.mid_x2) : NaN,
    events: update.bin_event_count,
    flags: (update.book_valid ? VALID : 0) | (warm ? READY : 0),
    state: BOOK_STATES.indexOf(update.book_state),
    values, grid,
  };
}

function ticks(price: bigint, tick: bigint, key: string): number {
  if (price % tick !== 0n) throw new ContractError(`${key} ${price} is no multiple of the tick size ${tick}`);
  return Number(price / tick);
}
