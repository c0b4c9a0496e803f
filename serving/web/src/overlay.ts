// What is drawn over the picture: best prices and mid, dividers, labels, cell values, cursor and
// the profile of the newest bin. One function per layer, in a table that gives the order.

import { line } from "./axes.ts";
import { BOOK_STATES } from "./contract.ts";
import type { Epoch } from "./feed.ts";
import { numberText, type Clock } from "./format.ts";
import { css, INK, unpack } from "./palette.ts";
import { has, oldest, quantityAt, READY, slotOf, VALID, type Quantity, type Ring } from "./ring.ts";
import { leveller, type Scale } from "./scale.ts";
import { columnAt, leftOf, reduction, tickToPx, xToPx, type Size, type View } from "./view.ts";

export interface Cell {
  readonly x: number;
  readonly tick: number;
}

export interface Stage {
  readonly ctx: CanvasRenderingContext2D;
  readonly ring: Ring;
  readonly view: View;
  readonly size: Size;
  readonly head: number;
  readonly quantity: Quantity;
  readonly scale: Scale;
  readonly colours: Uint32Array;
  readonly epochs: readonly Epoch[];
  readonly clock: Clock;
  readonly cursor: Cell | null;
  readonly isPinned: boolean;
  readonly showProfile: boolean;
}

const LABELS = "12px system-ui, 'DejaVu Sans', sans-serif";
const NUMBERS = "11px ui-monospace, 'DejaVu Sans Mono', monospace";

const LAYERS: readonly ((stage: Stage) => void)[] = [
  drawProfile, drawCellValues, drawPrices, drawDividers, drawStates, drawCursor,
];

export function drawOverlay(stage: Stage): void {
  const { ctx, size } = stage;
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, 0, size.width, size.height);
  ctx.clip();
  for (const layer of LAYERS) layer(stage);
  ctx.restore();
}

const spanOf = ({ view, ring, head }: Stage): [number, number] => [
  Math.max(Math.floor(leftOf(view)), oldest(ring)),
  Math.min(head, Math.ceil(view.right) - 1),
];

// A step line through one price per bin, broken where the price is absent.
function steps(stage: Stage, prices: Float64Array, factor: number): Path2D {
  const { ring, view, size } = stage;
  const path = new Path2D();
  const [from, to] = spanOf(stage);
  const stride = reduction(view, size).bins;
  let drawing = false;
  for (let x = from - (from % stride); x <= to; x += stride) {
    const price = has(ring, x) ? prices[slotOf(ring, x)]! * factor : NaN;
    if (Number.isNaN(price)) {
      drawing = false;
      continue;
    }
    // On whole device pixels, or a line blurs over three.
    const y = Math.round(tickToPx(view, size, price) * devicePixelRatio) / devicePixelRatio;
    const px = xToPx(view, size, x);
    if (drawing) path.lineTo(px, y);
    else path.moveTo(px, y);
    path.lineTo(xToPx(view, size, x + stride), y);
    drawing = true;
  }
  return path;
}

function drawPrices(stage: Stage): void {
  const { ctx, ring } = stage;
  const lines: [Path2D, string, number[]][] = [
    [steps(stage, ring.bid, 1), INK.bid, []],
    [steps(stage, ring.ask, 1), INK.ask, []],
    [steps(stage, ring.midX2, 0.5), INK.mid, [3, 3]],
  ];
  ctx.lineJoin = "round";
  // The dark casing keeps the lines legible on every palette.
  ctx.strokeStyle = INK.casing;
  ctx.lineWidth = 4;
  for (const [path, , dash] of lines) if (dash.length === 0) ctx.stroke(path);
  for (const [path, colour, dash] of lines) {
    ctx.setLineDash(dash);
    ctx.strokeStyle = colour;
    ctx.lineWidth = dash.length === 0 ? 2 : 1;
    ctx.stroke(path);
  }
  ctx.setLineDash([]);
}

function tag(ctx: CanvasRenderingContext2D, text: string, x: number, y: number, colour: string): void {
  ctx.font = LABELS;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  const width = ctx.measureText(text).width;
  ctx.fillStyle = INK.casing;
  ctx.globalAlpha = 0.8;
  ctx.fillRect(x, y - 9, width + 10, 18);
  ctx.globalAlpha = 1;
  ctx.fillStyle = colour;
  ctx.fillText(text, x + 5, y);
}

const nameOf = ({ config }: Epoch): string => config.serving.serving_name ?? config.serving.display_name;

// Where one serving version ends and the next begins.
function drawDividers(stage: Stage): void {
  const { ctx, ring, view, size, epochs, clock } = stage;
  epochs.forEach((epoch, i) => {
    const previous = epochs[i - 1];
    if (previous === undefined || Number.isNaN(epoch.firstX) || epoch.firstX > stage.head) return;
    const px = xToPx(view, size, epoch.firstX);
    if (px < 0 || px > size.width) return;
    ctx.strokeStyle = INK.accent;
    ctx.lineWidth = 2;
    line(ctx, px, 0, px, size.height);
    const when = has(ring, epoch.firstX) ? ` at ${clock.axis(ring.endNs[slotOf(ring, epoch.firstX)]!, false)}` : "";
    const same = previous.config.serving.serving_id === epoch.config.serving.serving_id;
    const what = same ? "server restarted" : `serving ${nameOf(previous)} ${short(previous)} → ${nameOf(epoch)} ${short(epoch)}`;
    ctx.font = LABELS;
    const text = `${what}${when}`;
    const room = size.width - px > ctx.measureText(text).width + 20;
    tag(ctx, text, room ? px + 6 : px - ctx.measureText(text).width - 16, 18, INK.accent);
  });
}

const short = ({ config }: Epoch): string => config.serving.serving_id.slice(0, 8);

// Runs of columns that are not plain values, named where the name has room.
function drawStates(stage: Stage): void {
  const { ctx, ring, view, size } = stage;
  const [from, to] = spanOf(stage);
  const stateOf = (x: number): string => {
    if (!has(ring, x)) return x > ring.first ? "missing" : "";
    const slot = slotOf(ring, x);
    if ((ring.flags[slot]! & VALID) === 0) return `book invalid: ${BOOK_STATES[ring.state[slot]!]?.replace("_", "-")}`;
    return (ring.flags[slot]! & READY) === 0 ? "warming up" : "";
  };
  ctx.font = LABELS;
  let start = from;
  let free = 0;
  let state = from <= to ? stateOf(from) : "";
  for (let x = from + 1; x <= to + 1; x++) {
    const next = x <= to ? stateOf(x) : "end of view";
    if (next === state) continue;
    const left = Math.max(0, xToPx(view, size, start));
    const width = xToPx(view, size, x) - left;
    const text = state === "missing" ? `${x - start} ${x - start === 1 ? "bin" : "bins"} missing` : state;
    // A narrow run may be labelled beyond its end, but labels do not cover each other.
    if (state !== "" && width >= 6 && left >= free) {
      const room = ctx.measureText(text).width + 12;
      tag(ctx, text, Math.min(left + 2, size.width - room), size.height - 16, INK.text);
      free = left + room;
    }
    start = x;
    state = next;
  }
}

const CELL_TEXT = { width: 42, height: 13 };

// Zoomed in far enough, a cell says its number.
function drawCellValues(stage: Stage): void {
  const { ctx, ring, view, size, quantity, scale, colours } = stage;
  const width = size.width / view.columns;
  const height = size.height / view.ticks;
  if (width < CELL_TEXT.width || height < CELL_TEXT.height) return;
  const level = leveller(scale);
  const [from, to] = spanOf(stage);
  ctx.font = NUMBERS;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  for (let x = from; x <= to; x++) {
    if (!has(ring, x)) continue;
    const slot = slotOf(ring, x);
    for (let row = 0; row < ring.rows; row++) {
      const y = tickToPx(view, size, ring.spot[slot]! - ring.radius + row);
      if (y < -height || y > size.height + height) continue;
      const value = quantityAt(quantity, ring, slot, row);
      const [red, green, blue] = unpack(colours[level(value)]!);
      ctx.fillStyle = 0.3 * red + 0.59 * green + 0.11 * blue > 130 ? INK.casing : INK.text;
      ctx.fillText(numberText(value), xToPx(view, size, x + 0.5), y, width - 4);
    }
  }
}

// The newest bin as bars, tick by tick, in the room right of now.
function drawProfile(stage: Stage): void {
  const { ctx, ring, view, size, head, quantity, scale, colours } = stage;
  if (head < 0 || !has(ring, head)) return;
  const now = xToPx(view, size, head + 1);
  const room = size.width - now;
  if (now < 0 || room < 12) return;
  ctx.strokeStyle = INK.rule;
  ctx.lineWidth = 1;
  line(ctx, now, 0, now, size.height);
  if (!stage.showProfile || room < 40) return;
  const slot = slotOf(ring, head);
  const level = leveller(scale);
  const thick = Math.max(1, size.height / view.ticks - 1);
  for (let row = 0; row < ring.rows; row++) {
    const value = quantityAt(quantity, ring, slot, row);
    const at = level(value);
    const share = scale.signed ? Math.abs(at - 127.5) / 127.5 : at / 255;
    const y = tickToPx(view, size, ring.spot[slot]! - ring.radius + row);
    // At least a pixel, brightened: the dark end of a table would vanish as a bar.
    ctx.fillStyle = share < 0.15 ? INK.rule : css(colours[at]!);
    ctx.fillRect(now + 4, y - thick / 2, Math.max(1, share * (room - 10)), thick);
  }
}

function drawCursor(stage: Stage): void {
  const { ctx, view, size, cursor } = stage;
  if (cursor === null) return;
  const x = xToPx(view, size, cursor.x + 0.5);
  const y = tickToPx(view, size, cursor.tick);
  ctx.strokeStyle = INK.text;
  ctx.globalAlpha = 0.55;
  ctx.lineWidth = 1;
  line(ctx, x, 0, x, size.height);
  line(ctx, 0, y, size.width, y);
  ctx.globalAlpha = 1;
  const width = Math.max(5, size.width / view.columns);
  const height = Math.max(5, size.height / view.ticks);
  ctx.strokeStyle = stage.isPinned ? INK.accent : INK.mid;
  ctx.lineWidth = stage.isPinned ? 2 : 1;
  ctx.strokeRect(x - width / 2, y - height / 2, width, height);
}

export const isInside = (view: View, size: Size, cell: Cell): boolean =>
  cell.x >= Math.ceil(leftOf(view)) && cell.x <= columnAt(view, size, size.width - 1) &&
  Math.abs(cell.tick - view.centre) < view.ticks / 2 - 1;
