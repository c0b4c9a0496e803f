// The picture: every visible cell of every received column, painted from its current value.
//
// A Canvas2D back end without a canvas: it fills RGBA pixels, so that Node can test it and a
// worker could run it. Cells are reduced to colours once, then spread over pixel rows; pixel
// edges come from the same functions as lines and cursor. What is no value looks like none:
// dots outside the grid's reach, a hatch for missing bins, a rule and grey for warming up, a
// cross hatch for an invalid book.

import { columnLevels, levelsFor, type Levels } from "./levels.ts";
import { fromHex, INK } from "./palette.ts";
import { has, oldest, READY, slotOf, VALID, type Quantity, type Ring } from "./ring.ts";
import type { Scale } from "./scale.ts";
import { columnAt, leftOf, reduction, tickAt, xToPx, type Size, type View } from "./view.ts";

export interface Picture extends Size {
  readonly pixels: Uint32Array; // height rows of width, little-endian RGBA
}

export interface Scene {
  readonly ring: Ring;
  readonly view: View;
  readonly quantity: Quantity;
  readonly scale: Scale;
  readonly colours: Uint32Array; // 256 of the table, then "not a number"
  readonly greys: Uint32Array; // the same, drained
  readonly head: number; // newest column to show
}

// What a column of pixels stands for.
const EMPTY = 0; // nothing was ever received here
const FUTURE = 1; // right of now
const MISSING = 2; // a bin that did not come
const HELD = 4;
const PARTLY = 8; // some of the bins behind this pixel are missing
const WARMING = 16;
const INVALID = 32;

const ABSENT = fromHex("#0b0d13"); // marks a pixel without value until the patterns are laid
const DOT = fromHex("#2b3342");
const AHEAD = fromHex("#10141c");
const HATCH = fromHex("#3d4757");
const HATCH_GROUND = fromHex("#161b25");
const WARM_RULE = fromHex("#cfd5df");
const INVALID_RULE = fromHex(INK.warn);
const INVALID_LINE = fromHex("#c9ced8");
const RULE_PX = 4;
const PITCH = 8;

export function createPicture(width: number, height: number): Picture {
  return { width, height, pixels: new Uint32Array(width * height) };
}

// Scratch memory that grows and is kept: the draw path allocates nothing.
export interface Scratch {
  levels: Levels | null;
  cells: Uint32Array;
  peak: Int16Array; // per price level: strongest colour index, NONE where no bin reaches
  kinds: Uint8Array;
  groupOf: Int32Array; // per pixel column
}

export function createScratch(): Scratch {
  return {
    levels: null, cells: new Uint32Array(0), peak: new Int16Array(0), kinds: new Uint8Array(0), groupOf: new Int32Array(0),
  };
}

const NONE = -1;

export function paint(picture: Picture, scene: Scene, scratch: Scratch): void {
  const { view } = scene;
  const step = reduction(view, picture);
  const group0 = Math.floor(leftOf(view) / step.bins);
  const groups = Math.floor(view.right / step.bins) - group0 + 1;
  const level0 = Math.floor(tickAt(view, picture, 0) / step.ticks); // highest prices first
  const rows = level0 - Math.floor(tickAt(view, picture, picture.height) / step.ticks) + 1;
  if (scratch.cells.length < groups * rows) scratch.cells = new Uint32Array(groups * rows);
  if (scratch.kinds.length < groups) scratch.kinds = new Uint8Array(groups);
  if (scratch.peak.length < rows) scratch.peak = new Int16Array(rows);
  if (scratch.groupOf.length < picture.width) scratch.groupOf = new Int32Array(picture.width);
  for (let px = 0; px < picture.width; px++) {
    scratch.groupOf[px] = Math.floor(columnAt(view, picture, px + 0.5) / step.bins) - group0;
  }
  scratch.cells.fill(ABSENT, 0, groups * rows);
  const levels = levelsFor(scratch.levels, scene.ring, scene.quantity, scene.scale);
  scratch.levels = levels;

  for (let g = 0; g < groups; g++) {
    const x = (group0 + g) * step.bins;
    const kind = reduce(scene, levels, x, step.bins, step.ticks, level0, rows, scratch.peak);
    scratch.kinds[g] = kind;
    if ((kind & HELD) === 0) continue;
    const colours = kind & WARMING ? scene.greys : scene.colours;
    for (let r = 0; r < rows; r++) {
      const level = scratch.peak[r]!;
      if (level !== NONE) scratch.cells[r * groups + g] = colours[level]!;
    }
  }
  spread(picture, view, step.ticks, groups, level0, scratch);
  decorate(picture, view, scratch);
}

// Largest magnitude per price level over the bins [x, x + bins). The index of a magnitude grows
// with it, so that the strongest index is the index of the strongest value.
function reduce(
  scene: Scene, levels: Levels, x: number, bins: number, ticks: number, level0: number, rows: number, peak: Int16Array,
): number {
  const { ring } = scene;
  const { strength, values } = levels;
  let kind = EMPTY;
  let held = 0;
  let missing = 0;
  peak.fill(NONE, 0, rows);
  for (let i = x; i < x + bins; i++) {
    if (i > scene.head) {
      if (kind === EMPTY && scene.head >= 0) kind = FUTURE;
      continue;
    }
    if (!has(ring, i)) {
      if (i > ring.first && i >= oldest(ring)) missing++;
      continue;
    }
    held++;
    const slot = slotOf(ring, i);
    const flags = ring.flags[slot]!;
    if ((flags & READY) === 0) kind |= WARMING;
    if ((flags & VALID) === 0) kind |= INVALID;
    const lowest = ring.spot[slot]! - ring.radius;
    const base = columnLevels(levels, slot);
    for (let row = 0; row < ring.rows; row++) {
      const r = level0 - (ticks === 1 ? lowest + row : Math.floor((lowest + row) / ticks));
      if (r < 0 || r >= rows) continue;
      const level = values[base + row]!;
      const best = peak[r]!;
      if (best === NONE || strength[level]! > strength[best]!) peak[r] = level;
    }
  }
  if (held > 0) return (kind & ~FUTURE) | HELD | (missing > 0 ? PARTLY : 0);
  return missing > 0 ? MISSING : kind;
}

// Blow the cells up to pixels; equal pixel rows are copied.
function spread(
  picture: Picture, view: View, ticks: number, groups: number, level0: number, scratch: Scratch,
): void {
  const { width, height, pixels } = picture;
  let previous = -1;
  for (let y = 0; y < height; y++) {
    const r = level0 - Math.floor(tickAt(view, picture, y + 0.5) / ticks);
    const row = y * width;
    if (r === previous) {
      pixels.copyWithin(row, row - width, row);
      continue;
    }
    previous = r;
    for (let px = 0; px < width; px++) {
      pixels[row + px] = scratch.cells[r * groups + scratch.groupOf[px]!]!;
    }
  }
}

// Lay the patterns over what is no plain value.
function decorate(picture: Picture, view: View, scratch: Scratch): void {
  const { width, height, pixels } = picture;
  // The hatch moves with the data instead of shimmering under it.
  const phase = Math.round(-xToPx(view, picture, 0)) % PITCH;
  for (let px = 0; px < width; px++) {
    const kind = scratch.kinds[scratch.groupOf[px]!]!;
    const at = (((px + phase) % PITCH) + PITCH) % PITCH;
    if (kind === MISSING) {
      for (let y = 0; y < height; y++) pixels[y * width + px] = (at + y) % PITCH < 2 ? HATCH : HATCH_GROUND;
      continue;
    }
    if (kind === FUTURE) {
      for (let y = 0; y < height; y++) pixels[y * width + px] = AHEAD;
      continue;
    }
    if (at % 4 === 0) {
      for (let y = 2; y < height; y += 4) if (pixels[y * width + px] === ABSENT) pixels[y * width + px] = DOT;
    }
    if (kind & INVALID) {
      for (let y = 0; y < height; y++) {
        const i = y * width + px;
        if ((at + y) % PITCH === 0 || (at - y + PITCH * height) % PITCH === 0) pixels[i] = halfway(pixels[i]!, INVALID_LINE);
      }
    }
    const rule = kind & INVALID ? INVALID_RULE : kind & WARMING ? WARM_RULE : kind & PARTLY ? HATCH : 0;
    if (rule !== 0) for (let y = 0; y < RULE_PX; y++) pixels[y * width + px] = rule;
  }
}

// Mean of two opaque pixels.
function halfway(a: number, b: number): number {
  return ((((a & 0xfefefe) >>> 1) + ((b & 0xfefefe) >>> 1)) | 0xff000000) >>> 0;
}

// Finite values of the visible cells, thinned to at most `limit`, for the automatic scale.
export function visibleValues(scene: Scene, limit: number): Float64Array {
  const { ring, view, quantity } = scene;
  const from = Math.max(Math.floor(leftOf(view)), oldest(ring));
  const to = Math.min(Math.ceil(view.right) - 1, scene.head);
  const columns = Math.max(0, to - from + 1);
  // A stride without common divisor with the rows favours no row, and is repeatable.
  let stride = Math.max(1, Math.ceil((columns * ring.rows) / limit));
  while (divisor(stride, ring.rows) > 1) stride++;
  const found: number[] = [];
  for (let i = 0; i < columns * ring.rows; i += stride) {
    const x = from + Math.floor(i / ring.rows);
    if (!has(ring, x)) continue;
    const at = slotOf(ring, x) * ring.rows + (i % ring.rows);
    found.push(quantity.minus === null ? quantity.plus[at]! : quantity.plus[at]! - quantity.minus[at]!);
  }
  return Float64Array.from(found);
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}
