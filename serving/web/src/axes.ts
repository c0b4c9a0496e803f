// Price and time axes: which labels stand where, and their drawing.

import { priceText, type Clock } from "./format.ts";
import { INK } from "./palette.ts";
import { has, slotOf, type Ring } from "./ring.ts";
import { leftOf, pxToTick, tickToPx, xToPx, type Size, type View } from "./view.ts";

export const PRICE_AXIS = 74; // CSS pixels
export const TIME_AXIS = 24;

const NUMBERS = "12px ui-monospace, 'DejaVu Sans Mono', monospace";

export interface PriceStep {
  readonly tickSize: bigint;
  readonly decimals: number;
}

// Smallest round price step, in ticks, whose labels stand at least `room` pixels apart.
export function priceStep(tickSize: bigint, pxPerTick: number, room: number): number {
  for (let unit = 1n; unit < 10n ** 18n; unit *= 10n) {
    for (const factor of [10n, 20n, 25n, 50n]) {
      const step = (unit * factor) / 10n;
      if (step * 10n !== unit * factor || step % tickSize !== 0n) continue;
      const ticks = Number(step / tickSize);
      if (ticks * pxPerTick >= room) return ticks;
    }
  }
  // A tick size that divides no round step: count ticks instead.
  return Math.max(1, Math.ceil(room / pxPerTick));
}

const TIME_STEPS = [
  100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000,
];

// Smallest round time step, in milliseconds, for labels at least `room` pixels apart.
export function timeStep(msPerPx: number, room: number): number {
  return TIME_STEPS.find((step) => step >= msPerPx * room) ?? TIME_STEPS.at(-1)!;
}

export interface TimeMark {
  readonly x: number;
  readonly ns: bigint;
}

// Columns at which a multiple of the step begins. Read from the columns themselves, so that a
// break in time (gap, new epoch, session end) is told by its labels.
export function timeMarks(ring: Ring, view: View, head: number, stepMs: number): TimeMark[] {
  const step = BigInt(stepMs) * 1_000_000n;
  const marks: TimeMark[] = [];
  let previous: bigint | null = null;
  const to = Math.min(head, Math.ceil(view.right));
  for (let x = Math.floor(leftOf(view)) - 1; x <= to; x++) {
    if (!has(ring, x)) continue;
    const ns = ring.endNs[slotOf(ring, x)]!;
    const period = ns / step;
    if (previous !== null && period !== previous) marks.push({ x, ns: period * step });
    previous = period;
  }
  return marks;
}

export interface Tag {
  readonly tick: number;
  readonly text: string;
  readonly colour: string;
}

export function drawPriceAxis(
  ctx: CanvasRenderingContext2D, view: View, size: Size, price: PriceStep, tags: readonly Tag[],
): void {
  ctx.font = NUMBERS;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  const step = priceStep(price.tickSize, size.height / view.ticks, 26);
  const lowest = Math.ceil(pxToTick(view, size, size.height) / step) * step;
  const placed = placeTags(tags, view, size);
  ctx.fillStyle = INK.dim;
  ctx.strokeStyle = INK.rule;
  ctx.lineWidth = 1;
  for (let tick = lowest; tick <= pxToTick(view, size, 0); tick += step) {
    const y = tickToPx(view, size, tick);
    if (y < 8 || y > size.height - 8) continue;
    line(ctx, size.width, y, size.width + 4, y);
    if (placed.some((tag) => Math.abs(tag.y - y) < 16)) continue;
    ctx.fillText(priceText(BigInt(tick) * price.tickSize, price.decimals), size.width + 8, y);
  }
  for (const { tag, y } of placed) {
    ctx.fillStyle = tag.colour;
    ctx.fillRect(size.width + 1, y - 8, PRICE_AXIS - 2, 16);
    ctx.fillStyle = INK.ground;
    ctx.fillText(tag.text, size.width + 8, y + 0.5);
  }
}

// Tags of a one-tick spread must not cover each other.
function placeTags(tags: readonly Tag[], view: View, size: Size): { tag: Tag; y: number }[] {
  let free = -Infinity;
  return [...tags].sort((a, b) => b.tick - a.tick).flatMap((tag) => {
    const y = Math.max(tickToPx(view, size, tag.tick), free);
    if (y < 0 || y > size.height) return [];
    free = y + 17;
    return [{ tag, y }];
  });
}

export function drawTimeAxis(
  ctx: CanvasRenderingContext2D, ring: Ring, view: View, size: Size, head: number, binMs: number, clock: Clock,
): void {
  ctx.font = NUMBERS;
  ctx.textBaseline = "middle";
  ctx.textAlign = "center";
  ctx.strokeStyle = INK.rule;
  ctx.lineWidth = 1;
  const step = timeStep((view.columns * binMs) / size.width, step1000(view, size, binMs) ? 110 : 84);
  let free = -Infinity;
  for (const { x, ns } of timeMarks(ring, view, head, step)) {
    const px = xToPx(view, size, x);
    if (px < 4 || px > size.width - 4) continue;
    line(ctx, px, size.height, px, size.height + 4);
    if (px < free || px < 36) continue;
    free = px + 76;
    ctx.fillStyle = INK.dim;
    ctx.fillText(clock.axis(ns, step < 1000), px, size.height + 14);
  }
}

// Whether labels will need milliseconds and thus more room.
function step1000(view: View, size: Size, binMs: number): boolean {
  return ((view.columns * binMs) / size.width) * 84 < 500;
}

export function line(ctx: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  // Hairlines on device pixels, or they blur over two.
  const ratio = devicePixelRatio;
  const snap = (v: number): number => (Math.floor(v * ratio) + 0.5) / ratio;
  ctx.beginPath();
  ctx.moveTo(x0 === x1 ? snap(x0) : x0, y0 === y1 ? snap(y0) : y0);
  ctx.lineTo(x0 === x1 ? snap(x1) : x1, y0 === y1 ? snap(y1) : y1);
  ctx.stroke();
}
