// The column ring: the newest W bins as flat arrays, one per field.
//
// A bin has a place x on the time axis: its sequence number plus the offset of its epoch. Its slot
// is x mod W, so late and missing bins have a place, out-of-order data cannot shift the picture,
// and a gap is a slot that does not hold its x.

import type { Field } from "./contract.ts";
import type { Numbers } from "./decode.ts";

export const VALID = 1; // the book is valid
export const READY = 2; // the model has warmed up

export interface Ring {
  readonly width: number;
  readonly rows: number;
  readonly radius: number;
  readonly names: readonly string[];
  readonly grid: Numbers[]; // per field, width * rows, column by column
  readonly binNames: readonly string[];
  readonly values: Float64Array[]; // per model output
  readonly at: Float64Array; // x held by the slot, NaN when empty
  readonly version: Float64Array; // which arrival the slot holds
  readonly seq: Float64Array;
  readonly epoch: Int32Array;
  readonly endNs: BigInt64Array;
  readonly spot: Float64Array; // ticks
  readonly bid: Float64Array; // ticks, NaN when absent
  readonly ask: Float64Array;
  readonly bidSize: Float64Array;
  readonly askSize: Float64Array;
  readonly midX2: Float64Array; // ticks, NaN without a valid mid
  readonly events: Float64Array;
  readonly flags: Uint8Array;
  readonly state: Uint8Array; // index into BOOK_STATES
  first: number; // oldest x ever received
  head: number; // newest x, -1 before the first bin
  received: number;
}

export interface Column {
  x: number;
  seq: number;
  epoch: number;
  endNs: bigint;
  spot: number;
  bid: number;
  ask: number;
  bidSize: number;
  askSize: number;
  midX2: number;
  events: number;
  flags: number;
  state: number;
  values: Float64Array;
  grid: Numbers[];
}

const MIN_WIDTH = 512;
const MAX_WIDTH = 8192;
const BUDGET_BYTES = 96 * 2 ** 20;

const STORES = {
  bool: Uint8Array, int8: Int8Array, int32: Int32Array,
  int64: Float64Array, float32: Float32Array, float64: Float64Array,
} as const;

export function ringWidth(fields: readonly Field[], rows: number): number {
  let bytes = 0;
  for (const f of fields) bytes += rows * STORES[f.dtype].BYTES_PER_ELEMENT;
  let width = MAX_WIDTH;
  while (width > MIN_WIDTH && width * bytes > BUDGET_BYTES) width /= 2;
  return width;
}

export function createRing(
  fields: readonly Field[], binFields: readonly Field[], radius: number, width?: number,
): Ring {
  const rows = 2 * radius + 1;
  const w = width ?? ringWidth(fields, rows);
  const scalars = (): Float64Array => new Float64Array(w).fill(NaN);
  return {
    width: w, rows, radius,
    names: fields.map((f) => f.name),
    grid: fields.map((f) => new STORES[f.dtype](w * rows)),
    binNames: binFields.map((f) => f.name),
    values: binFields.map(scalars),
    at: scalars(), version: scalars(), seq: scalars(), epoch: new Int32Array(w), endNs: new BigInt64Array(w),
    spot: scalars(), bid: scalars(), ask: scalars(), bidSize: scalars(), askSize: scalars(),
    midX2: scalars(), events: scalars(), flags: new Uint8Array(w), state: new Uint8Array(w),
    first: Infinity, head: -1, received: 0,
  };
}

export function slotOf(ring: Ring, x: number): number {
  return ((x % ring.width) + ring.width) % ring.width;
}

export function has(ring: Ring, x: number): boolean {
  return ring.at[slotOf(ring, x)] === x;
}

// Oldest place that can still be held; before it, columns were overwritten or never came.
export function oldest(ring: Ring): number {
  return Math.max(ring.first, ring.head - ring.width + 1);
}

// Store a column; false when it is too old to have a place. A repeated x is stored again.
export function put(ring: Ring, column: Column): boolean {
  const { x } = column;
  if (ring.head >= 0 && x <= ring.head - ring.width) return false;
  const slot = slotOf(ring, x);
  ring.at[slot] = x;
  ring.seq[slot] = column.seq;
  ring.epoch[slot] = column.epoch;
  ring.endNs[slot] = column.endNs;
  ring.spot[slot] = column.spot;
  ring.bid[slot] = column.bid;
  ring.ask[slot] = column.ask;
  ring.bidSize[slot] = column.bidSize;
  ring.askSize[slot] = column.askSize;
  ring.midX2[slot] = column.midX2;
  ring.events[slot] = column.events;
  ring.flags[slot] = column.flags;
  ring.state[slot] = column.state;
  column.values.forEach((value, i) => ring.values[i]?.fill(value, slot, slot + 1));
  column.grid.forEach((values, i) => ring.grid[i]?.set(values, slot * ring.rows));
  if (x > ring.head) ring.head = x;
  if (x < ring.first) ring.first = x;
  ring.version[slot] = ++ring.received;
  return true;
}

// What to draw: a column, or the difference of two.
export interface Quantity {
  readonly name: string;
  readonly unit: string;
  readonly meaning: string;
  readonly dtype: Field["dtype"];
  readonly signed: boolean; // by its role; values below zero make any quantity signed
  readonly plus: Numbers;
  readonly minus: Numbers | null;
}

export function quantityAt(quantity: Quantity, ring: Ring, slot: number, row: number): number {
  const i = slot * ring.rows + row;
  return quantity.minus === null ? quantity.plus[i]! : quantity.plus[i]! - quantity.minus[i]!;
}

export const NET_FORCE = "net_force";
const SIGNED_ROLES: ReadonlySet<Field["role"]> = new Set(["velocity", "acceleration", "jerk", "signal"]);

// Every numeric column of the grid, after the derived net force.
export function quantities(ring: Ring, fields: readonly Field[]): Quantity[] {
  const store = (name: string): Numbers => ring.grid[ring.names.indexOf(name)]!;
  const pressure = fields.find((f) => f.name === "pressure_variant");
  const net: Quantity = {
    name: NET_FORCE, unit: pressure?.unit ?? "", meaning: "Pressure minus vacuum.", dtype: "float32",
    signed: true, plus: store("pressure_variant"), minus: store("vacuum_variant"),
  };
  const plain = fields
    .filter((f) => f.role !== "grid_index")
    .map((f) => ({
      name: f.name, unit: f.unit, meaning: f.meaning, dtype: f.dtype, signed: SIGNED_ROLES.has(f.role),
      plus: store(f.name), minus: null,
    }));
  return [net, ...plain];
}
