// What a cell says: time, sequence, price, distance from mid, the shown value, all other fields.

import { BOOK_STATES, type RuntimeConfig } from "./contract.ts";
import { midText, numberText, tickText, type Clock } from "./format.ts";
import type { Cell } from "./overlay.ts";
import { has, quantityAt, READY, slotOf, VALID, type Quantity, type Ring } from "./ring.ts";

export interface Reading {
  readonly time: string;
  readonly seq: string;
  readonly price: string;
  readonly fromMid: string;
  readonly state: string; // why the cell is special, or ""
  readonly values: readonly string[]; // per quantity, "" where the grid does not reach
}

export function readCell(
  ring: Ring, quantities: readonly Quantity[], config: RuntimeConfig, clock: Clock, cell: Cell,
): Reading {
  const { tick_size_int: tickSize, price_decimals: decimals } = config.instrument;
  const price = tickText(cell.tick, tickSize, decimals);
  const empty = quantities.map(() => "");
  if (!has(ring, cell.x)) {
    const state = cell.x > ring.head ? "after the newest bin" : cell.x > ring.first ? "bin missing" : "before the first bin";
    return { time: "–", seq: "–", price, fromMid: "–", state, values: empty };
  }
  const slot = slotOf(ring, cell.x);
  const row = cell.tick - ring.spot[slot]! + ring.radius;
  const inside = row >= 0 && row < ring.rows;
  const midX2 = ring.midX2[slot]!;
  return {
    time: clock.time(ring.endNs[slot]!),
    seq: String(ring.seq[slot]),
    price,
    fromMid: Number.isNaN(midX2) ? "no mid" : ticksText(cell.tick - midX2 / 2),
    state: !inside ? "outside the grid" : stateText(ring, slot),
    values: inside ? quantities.map((q) => valueText(quantityAt(q, ring, slot, row), q)) : empty,
  };
}

function stateText(ring: Ring, slot: number): string {
  const flags = ring.flags[slot]!;
  if ((flags & VALID) === 0) return `book ${BOOK_STATES[ring.state[slot]!]?.replace("_", "-")}`;
  return (flags & READY) === 0 ? "warming up" : "";
}

// Distances from mid are whole or half ticks.
const ticksText = (ticks: number): string => `${ticks > 0 ? "+" : ""}${ticks.toFixed(1)} ticks`;

const valueText = (value: number, { dtype }: Quantity): string =>
  dtype === "bool" ? (value === 0 ? "no" : "yes") : numberText(value);

const PURE: ReadonlySet<string> = new Set(["1", "flag", "code", "sign"]);

// A unit as people write it; pure numbers and flags have none.
export function unitText(unit: string): string {
  if (PURE.has(unit)) return "";
  return unit.replace("^2", "²").replace("^3", "³");
}

export interface Panel {
  readonly head: Record<"time" | "seq" | "price" | "fromMid" | "state" | "book", HTMLElement>;
  readonly table: HTMLTableSectionElement;
  rows: HTMLTableCellElement[];
}

// One row per quantity, made once per schema; afterwards only texts change.
export function buildRows(panel: Panel, quantities: readonly Quantity[]): void {
  panel.table.replaceChildren();
  panel.rows = quantities.map((quantity) => {
    const row = panel.table.insertRow();
    const name = document.createElement("th");
    name.scope = "row";
    name.textContent = quantity.name;
    row.title = quantity.meaning;
    const value = document.createElement("td");
    const unit = document.createElement("td");
    unit.className = "unit";
    unit.textContent = unitText(quantity.unit);
    row.append(name, value, unit);
    return value;
  });
}

export function fillPanel(panel: Panel, reading: Reading, book: string, shown: number): void {
  for (const key of ["time", "seq", "price", "fromMid", "state"] as const) setText(panel.head[key], reading[key]);
  setText(panel.head.book, book);
  panel.rows.forEach((cell, i) => {
    setText(cell, reading.values[i] ?? "");
    cell.parentElement?.classList.toggle("shown", i === shown);
  });
}

// The best prices of a bin in one line.
export function bookText(ring: Ring, slot: number, config: RuntimeConfig): string {
  const { tick_size_int: tickSize, price_decimals: decimals } = config.instrument;
  const side = (price: number, size: number): string =>
    Number.isNaN(price) ? "none" : `${tickText(price, tickSize, decimals)} × ${numberText(size)}`;
  return `${side(ring.bid[slot]!, ring.bidSize[slot]!)} | ${side(ring.ask[slot]!, ring.askSize[slot]!)}`;
}

export function midOf(ring: Ring, slot: number, config: RuntimeConfig): string {
  const midX2 = ring.midX2[slot]!;
  const { tick_size_int: tickSize, price_decimals: decimals } = config.instrument;
  return Number.isNaN(midX2) ? "no mid" : midText(midX2, tickSize, decimals);
}

export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
