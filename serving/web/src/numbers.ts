// The texts beside and under the chart: gauge, read-out, tooltip, status line.

import { configOf, headOf, priceOf, quantityOf, type Desk } from "./desk.ts";
import { drawBar, drawTexts, type GaugeParts } from "./gauge.ts";
import type { Meter } from "./hook.ts";
import { isInside } from "./overlay.ts";
import { bookText, fillPanel, midOf, readCell, setText, unitText, type Panel, type Reading } from "./readout.ts";
import { has, oldest, slotOf } from "./ring.ts";
import { byId } from "./shell.ts";
import { tickToPx, xToPx } from "./view.ts";

// The cell under the cursor; without one, the newest bin at the price.
function readingOf(desk: Desk): Reading | null {
  const ring = desk.feed.ring;
  const config = configOf(desk);
  const head = headOf(desk);
  if (ring === null || config === undefined || !has(ring, head)) return null;
  const here = { x: head, tick: Math.round(priceOf(ring, slotOf(ring, head))) };
  return readCell(ring, desk.quantities, config, desk.clock, desk.cursor ?? here);
}

export function drawReading(desk: Desk, panel: Panel): void {
  const { cursor, view, size } = desk;
  const tip = byId("tooltip");
  tip.hidden = cursor === null || !isInside(view, size, cursor);
  const ring = desk.feed.ring;
  const config = configOf(desk);
  const read = readingOf(desk);
  if (read === null || ring === null || config === undefined) return;
  const x = cursor?.x ?? headOf(desk);
  fillPanel(panel, read, has(ring, x) ? bookText(ring, slotOf(ring, x), config) : "–", desk.shown);
  const title = desk.isPinned ? "Cell (pinned, Esc frees)" : "Cell under the cursor";
  setText(byId("cell-title"), cursor === null ? "Newest bin at mid" : title);
  if (cursor === null) return;
  const value = read.values[desk.shown] ?? "";
  setText(byId("tip-value"), value === "" ? read.state : `${value} ${unitText(quantityOf(desk)?.unit ?? "")}`);
  setText(byId("tip-price"), `${read.price}  ${read.fromMid}`);
  setText(byId("tip-time"), `${read.time}  bin ${read.seq}`);
  const px = xToPx(view, size, cursor.x + 0.5);
  const py = tickToPx(view, size, cursor.tick);
  // Beside the cell, on the side that has room.
  const left = px + 16 + tip.offsetWidth < size.width ? px + 16 : px - 16 - tip.offsetWidth;
  const top = py + 14 + tip.offsetHeight < size.height ? py + 14 : py - 14 - tip.offsetHeight;
  tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
}

// The cell in words, for a screen reader.
export function spoken(desk: Desk): string {
  const read = readingOf(desk);
  if (read === null) return "no data yet";
  const quantity = quantityOf(desk);
  const value = read.values[desk.shown] || read.state;
  return `${read.price}, ${read.time}, ${quantity?.name.replaceAll("_", " ")} ${value} ${unitText(quantity?.unit ?? "")}`;
}

export function drawNumbers(desk: Desk, gauge: GaugeParts, binsPerSecond: number, meter: Meter): void {
  const ring = desk.feed.ring;
  const config = configOf(desk);
  const head = headOf(desk);
  if (ring === null || config === undefined || !has(ring, head)) return;
  drawBar(gauge, ring, config, head);
  drawTexts(gauge, ring, config, head);
  const slot = slotOf(ring, head);
  const ns = ring.endNs[slot]!;
  const when = `${desk.clock.date(ns)} ${desk.clock.time(ns)}`;
  setText(byId("status-bin"), `bin ${ring.seq[slot]}  ${when}  mid ${midOf(ring, slot, config)}  ${ring.events[slot]} events`);
  const pace = ((binsPerSecond * Number(config.bin_ns)) / 1e9).toFixed(1);
  setText(byId("status-rate"), `${binsPerSecond.toFixed(0)} bins/s (${pace}× real time)`);
  const gaps = missingBins(desk);
  setText(byId("status-gaps"), gaps === 0 ? "no gaps" : `${gaps} ${gaps === 1 ? "bin" : "bins"} missing`);
  const { frameMs, paintMs, decodeMs, drawn } = meter;
  setText(byId("status-meter"), `frame ${frameMs.toFixed(1)} ms, of it picture ${paintMs.toFixed(1)} ms  decode ${decodeMs.toFixed(2)} ms  ${drawn} frames`);
}

function missingBins(desk: Desk): number {
  const ring = desk.feed.ring;
  if (ring === null || ring.head < 0) return 0;
  let missing = 0;
  for (let x = oldest(ring); x < ring.head; x++) if (!has(ring, x)) missing++;
  return missing;
}
