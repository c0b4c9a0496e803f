// The state of the page and what may be done to it. One plain object; drawing only reads it.

import type { RuntimeConfig } from "./contract.ts";
import { currentEpoch, type Feed } from "./feed.ts";
import { createClock, type Clock } from "./format.ts";
import { visibleValues, type Scene } from "./heatmap.ts";
import type { Cell } from "./overlay.ts";
import { desaturated, SIGNED, table, UNSIGNED, type PaletteName } from "./palette.ts";
import { has, oldest, quantities, slotOf, type Quantity, type Ring } from "./ring.ts";
import { automatic, notch, TRANSFORMS, type Scale, type Transform } from "./scale.ts";
import { followed, opening, pan, visibleHead, zoomPrice, zoomTime, type Limits, type Size, type View } from "./view.ts";

export interface Desk {
  readonly feed: Feed;
  view: View;
  size: Size; // of the picture, CSS pixels
  quantities: Quantity[];
  shown: number;
  scale: Scale;
  scaledAt: number;
  transform: Transform;
  signedPalette: PaletteName;
  unsignedPalette: PaletteName;
  colours: Uint32Array;
  greys: Uint32Array;
  frozen: number; // newest column when the view was paused
  cursor: Cell | null;
  isPinned: boolean;
  showProfile: boolean;
  lastMid: number; // ticks
  clock: Clock; // of the exchange
  readonly manual: Map<string, { lo: number; hi: number }>;
  readonly negative: Set<string>; // quantities in which a value below zero was seen
}

const SCALE_EVERY_MS = 500;
const SCALE_SAMPLES = 16_384;

export function createDesk(feed: Feed, size: Size): Desk {
  return {
    feed, size, view: opening(size, 101), quantities: [], shown: 0,
    scale: { lo: 0, hi: 1, signed: true, transform: "asinh" }, scaledAt: -Infinity, transform: "asinh",
    signedPalette: "berlin", unsignedPalette: "inferno",
    colours: table("berlin"), greys: desaturated(table("berlin")),
    frozen: -1, cursor: null, isPinned: false, showProfile: true, lastMid: NaN, clock: createClock("UTC"),
    manual: new Map(), negative: new Set(),
  };
}

export const configOf = (desk: Desk): RuntimeConfig | undefined => currentEpoch(desk.feed)?.config;
export const quantityOf = (desk: Desk): Quantity | undefined => desk.quantities[desk.shown];
export const isManual = (desk: Desk): boolean => desk.manual.has(quantityOf(desk)?.name ?? "");
export const headOf = (desk: Desk): number => visibleHead(desk.view, desk.feed.ring?.head ?? -1, desk.frozen);

// A new ring came: choose the field the serving asks for and look at everything.
export function begin(desk: Desk, config: RuntimeConfig): boolean {
  const ring = desk.feed.ring;
  if (ring === null) return false;
  desk.quantities = quantities(ring, config.grid_schema_fields);
  const wanted = desk.quantities.findIndex((q) => q.name === config.visualization.default_field);
  desk.shown = Math.max(0, wanted);
  desk.view = opening(desk.size, ring.rows);
  desk.frozen = -1;
  desk.cursor = null;
  desk.isPinned = false;
  desk.lastMid = NaN;
  rescale(desk, true);
  return wanted >= 0;
}

export function limits(desk: Desk): Limits {
  const ring = desk.feed.ring;
  return { columns: [8, ring?.width ?? 8192], ticks: [6, 8 * (ring?.rows ?? 101)] };
}

export function sceneOf(desk: Desk): Scene | null {
  const ring = desk.feed.ring;
  const quantity = quantityOf(desk);
  if (ring === null || quantity === undefined) return null;
  const { view, scale, colours, greys } = desk;
  return { ring, view, quantity, scale, colours, greys, head: headOf(desk) };
}

// The view after new bins: it follows, and the first price brings it to its place.
export function follow(desk: Desk): void {
  const ring = desk.feed.ring;
  if (ring === null || ring.head < 0) return;
  const first = Number.isNaN(desk.lastMid);
  desk.lastMid = has(ring, ring.head) ? priceOf(ring, slotOf(ring, ring.head)) : desk.lastMid;
  if (first) desk.view = { ...desk.view, centre: Math.round(desk.lastMid) };
  desk.view = followed(desk.view, ring.head, desk.lastMid);
}

// The mid, or where there is none the row that the grid is built around.
export function priceOf(ring: Ring, slot: number): number {
  const midX2 = ring.midX2[slot]!;
  return Number.isNaN(midX2) ? ring.spot[slot]! : midX2 / 2;
}

// Bring scale and colours up to date; tell whether it was time to. A paused view keeps its
// colours unless forced.
export function rescale(desk: Desk, isForced: boolean, now = performance.now()): boolean {
  const scene = sceneOf(desk);
  if (scene === null || (!isForced && (desk.view.paused || now - desk.scaledAt < SCALE_EVERY_MS))) return false;
  const { name } = scene.quantity;
  const manual = desk.manual.get(name);
  const samples = visibleValues(scene, SCALE_SAMPLES);
  if (samples.some((value) => value < 0)) desk.negative.add(name);
  const signed = scene.quantity.signed || desk.negative.has(name);
  const scale = automatic(samples, signed, desk.transform);
  // An empty view says nothing about the values: look again when there are some.
  if (samples.length > 0) desk.scaledAt = now;
  desk.scale = manual === undefined ? scale : { ...scale, ...manual };
  const palette = signed ? desk.signedPalette : desk.unsignedPalette;
  desk.colours = table(palette);
  desk.greys = desaturated(desk.colours);
  return true;
}

export function show(desk: Desk, index: number): void {
  if (index < 0 || index >= desk.quantities.length) return;
  desk.shown = index;
  rescale(desk, true);
}

export function setTransform(desk: Desk, transform: Transform): void {
  desk.transform = transform;
  rescale(desk, true);
}

export const nextTransform = (desk: Desk): void =>
  setTransform(desk, TRANSFORMS[(TRANSFORMS.indexOf(desk.transform) + 1) % TRANSFORMS.length]!);

export const palettesOf = (desk: Desk): readonly PaletteName[] => (desk.scale.signed ? SIGNED : UNSIGNED);
export const paletteOf = (desk: Desk): PaletteName => (desk.scale.signed ? desk.signedPalette : desk.unsignedPalette);

export function setPalette(desk: Desk, name: PaletteName): void {
  if (desk.scale.signed) desk.signedPalette = name;
  else desk.unsignedPalette = name;
  rescale(desk, true);
}

export function nextPalette(desk: Desk): void {
  const names = palettesOf(desk);
  setPalette(desk, names[(names.indexOf(paletteOf(desk)) + 1) % names.length]!);
}

export function moveLimit(desk: Desk, limit: "lo" | "hi", up: boolean): void {
  const name = quantityOf(desk)?.name;
  if (name === undefined) return;
  const { lo, hi } = desk.scale;
  // The lower limit starts at zero, which has no neighbour on the ladder.
  const start = limit === "lo" && lo === 0 && up ? hi / 100 : notch(desk.scale[limit], up);
  const floor = limit === "lo" && !up && start < hi / 200 ? 0 : start;
  const moved = { lo, hi, [limit]: floor };
  if (moved.lo < moved.hi) desk.manual.set(name, moved);
  rescale(desk, true);
}

export function automaticScale(desk: Desk): void {
  desk.manual.delete(quantityOf(desk)?.name ?? "");
  rescale(desk, true);
}

export function setPaused(desk: Desk, paused: boolean): void {
  if (paused === desk.view.paused) return;
  desk.frozen = desk.feed.ring?.head ?? -1;
  desk.view = { ...desk.view, paused };
  follow(desk);
  if (!paused) rescale(desk, true);
}

export function setFollowTime(desk: Desk, followTime: boolean): void {
  desk.view = { ...desk.view, followTime };
  follow(desk);
}

export function setFollowPrice(desk: Desk, followPrice: boolean): void {
  const centre = followPrice && !Number.isNaN(desk.lastMid) ? Math.round(desk.lastMid) : desk.view.centre;
  desk.view = { ...desk.view, followPrice, centre };
}

export function goLive(desk: Desk): void {
  desk.view = { ...desk.view, followTime: true };
  setPaused(desk, false);
  follow(desk);
}

export function goOldest(desk: Desk): void {
  const ring = desk.feed.ring;
  if (ring === null || ring.head < 0) return;
  desk.view = { ...desk.view, followTime: false, right: Math.min(oldest(ring) + desk.view.columns, headOf(desk) + 1) };
}

export function panBy(desk: Desk, columns: number, ticks: number): void {
  const ring = desk.feed.ring;
  if (ring === null || ring.head < 0) return;
  desk.view = pan(desk.view, columns, ticks, oldest(ring), headOf(desk));
}

export function zoomTimeBy(desk: Desk, factor: number, anchor = headOf(desk) + 1): void {
  desk.view = zoomTime(desk.view, factor, anchor, headOf(desk), limits(desk));
}

export function zoomPriceBy(desk: Desk, factor: number, anchor = desk.view.centre): void {
  desk.view = zoomPrice(desk.view, factor, anchor, limits(desk));
}

// The opening view again: all rows, two pixels a bin, at now and at the price.
export function reset(desk: Desk): void {
  const { paused } = desk.view;
  const centre = Number.isNaN(desk.lastMid) ? desk.view.centre : Math.round(desk.lastMid);
  desk.view = { ...opening(desk.size, desk.feed.ring?.rows ?? 101), centre };
  if (paused) desk.view = { ...followed(desk.view, desk.frozen, centre), paused };
  follow(desk);
  automaticScale(desk);
}

export function moveCursor(desk: Desk, columns: number, ticks: number): void {
  const ring = desk.feed.ring;
  const head = headOf(desk);
  if (ring === null || head < 0) return;
  const from = desk.cursor ?? { x: head, tick: Math.round(priceOf(ring, slotOf(ring, head))) };
  const x = Math.min(head, Math.max(oldest(ring), from.x + (desk.cursor === null ? 0 : columns)));
  desk.cursor = { x, tick: from.tick + (desk.cursor === null ? 0 : ticks) };
  // Keep the cursor in sight.
  const left = desk.view.right - desk.view.columns;
  if (x < left) panBy(desk, x - left, 0);
  else if (x + 1 > desk.view.right) panBy(desk, x + 1 - desk.view.right, 0);
  const reach = desk.view.ticks / 2 - 1;
  const above = desk.cursor.tick - desk.view.centre;
  if (Math.abs(above) > reach) panBy(desk, 0, above - Math.sign(above) * reach);
}
