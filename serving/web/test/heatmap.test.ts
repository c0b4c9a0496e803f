import assert from "node:assert/strict";
import { test } from "node:test";
import { createPicture, createScratch, paint, visibleValues, type Picture, type Scene } from "../src/heatmap.ts";
import { desaturated, table } from "../src/palette.ts";
import { createRing, put, quantities, READY, VALID, type Ring } from "../src/ring.ts";
import { leveller, NAN_LEVEL, type Scale } from "../src/scale.ts";
import { tickToPx, xToPx, type View } from "../src/view.ts";
import { GRID } from "./frames.ts";

const RADIUS = 3;
const ROWS = 7;
const FIELDS = GRID as never[];
const colours = table("berlin");
const greys = desaturated(colours);
const scale: Scale = { lo: 0, hi: 10, signed: true, transform: "linear" };
const WIDTH = 120;
const HEIGHT = 90;

// Values that are distinct in every cell and span the scale.
const valueAt = (x: number, row: number): number => ((x * 5 + row * 3) % 21) - 10;

function column(ring: Ring, x: number, changes: { spot?: number; flags?: number; value?: number } = {}): void {
  const values = Float32Array.from({ length: ROWS }, (_, row) => changes.value ?? valueAt(x, row));
  const zeros = new Float32Array(ROWS);
  put(ring, {
    x, seq: x, epoch: 0, endNs: BigInt(x), spot: changes.spot ?? 100, bid: 100, ask: 101, bidSize: 1, askSize: 1,
    midX2: 201, events: 1, flags: changes.flags ?? VALID | READY, state: 4, values: new Float64Array(0),
    grid: [new Int32Array(ROWS), new Float64Array(ROWS), values, zeros, new Float64Array(ROWS), new Uint8Array(ROWS)],
  });
}

const newRing = (): Ring => createRing(FIELDS, [], RADIUS, 64);

function painted(ring: Ring, changes: Partial<View> = {}): { picture: Picture; scene: Scene } {
  const view: View = {
    right: 12, columns: 12, centre: 100, ticks: 9, followTime: true, followPrice: true, paused: false, ...changes,
  };
  const scene: Scene = { ring, view, quantity: quantities(ring, FIELDS)[0]!, scale, colours, greys, head: ring.head };
  const picture = createPicture(WIDTH, HEIGHT);
  paint(picture, scene, createScratch());
  return { picture, scene };
}

function at({ picture, scene }: { picture: Picture; scene: Scene }, x: number, tick: number): number {
  const px = Math.floor(xToPx(scene.view, picture, x + 0.5));
  const py = Math.floor(tickToPx(scene.view, picture, tick));
  return picture.pixels[py * WIDTH + px]!;
}

const colourOf = (value: number): number => colours[leveller(scale)(value)]!;

test("every cell of every column has the colour of its value", () => {
  const ring = newRing();
  for (let x = 0; x < 12; x++) column(ring, x);
  const result = painted(ring);
  for (let x = 0; x < 12; x++) {
    for (let row = 0; row < ROWS; row++) assert.equal(at(result, x, 100 - RADIUS + row), colourOf(valueAt(x, row)));
  }
});

test("no pixel inside the band is anything but a colour of the table", () => {
  const ring = newRing();
  for (let x = 0; x < 12; x++) column(ring, x, { spot: 100 + (x % 3) });
  const { picture, scene } = painted(ring);
  const known = new Set(colours);
  for (let px = 0; px < WIDTH; px++) {
    const spot = 100 + (Math.floor(px / 10) % 3);
    const top = Math.ceil(tickToPx(scene.view, picture, spot + RADIUS + 0.5));
    const bottom = Math.min(HEIGHT, Math.floor(tickToPx(scene.view, picture, spot - RADIUS - 0.5)));
    for (let y = Math.max(0, top); y < bottom; y++) assert(known.has(picture.pixels[y * WIDTH + px]!));
  }
});

test("a price stays in its place when spot moves", () => {
  const ring = newRing();
  column(ring, 0, { spot: 100 });
  column(ring, 1, { spot: 102 });
  const result = painted(ring);
  assert.equal(at(result, 0, 101), colourOf(valueAt(0, 4)));
  assert.equal(at(result, 1, 101), colourOf(valueAt(1, 2)));
  assert(!new Set(colours).has(at(result, 0, 104)));
});

test("gap, future, warm-up, invalid and outside all look different", () => {
  const ring = newRing();
  column(ring, 0);
  column(ring, 1, { value: 5 });
  column(ring, 3, { value: 5, flags: VALID });
  column(ring, 4, { value: 5, flags: READY });
  const result = painted(ring);
  const pixelsOf = (x: number, from = 20, to = 70): Set<number> => {
    const found = new Set<number>();
    for (let y = from; y < to; y++) for (let px = x * 10; px < x * 10 + 10; px++) found.add(result.picture.pixels[y * WIDTH + px]!);
    return found;
  };
  assert.deepEqual(pixelsOf(1), new Set([colourOf(5)]));
  const gap = pixelsOf(2);
  assert.equal(gap.size, 2);
  assert.deepEqual(pixelsOf(3), new Set([greys[leveller(scale)(5)]!]));
  const invalid = pixelsOf(4);
  assert(invalid.size === 2 && invalid.has(colourOf(5)));
  assert.equal(pixelsOf(8).size, 1);
  const outside = pixelsOf(1, 0, 9);
  assert.equal(outside.size, 2);
  const kinds = [gap, pixelsOf(3), invalid, pixelsOf(8), outside].map((s) => [...s].sort().join());
  assert.equal(new Set(kinds).size, 5);
  // The rules at the top tell the states apart even where the band does not reach.
  assert.equal(new Set([1, 3, 4].map((x) => result.picture.pixels[x * 10 + 5])).size, 3);
});

test("a value that is no number has its own colour", () => {
  const ring = newRing();
  column(ring, 0, { value: NaN });
  column(ring, 1, { value: Infinity });
  const result = painted(ring);
  assert.equal(at(result, 0, 100), colours[NAN_LEVEL]);
  assert.equal(at(result, 1, 100), colours[NAN_LEVEL]);
});

test("zoomed out, a spike of one bin survives with its sign", () => {
  const ring = newRing();
  for (let x = 0; x < 60; x++) column(ring, x, { value: x === 31 ? -10 : 1 });
  const { picture } = painted(ring, { right: 60, columns: WIDTH * 4, ticks: 9 });
  assert(picture.pixels.includes(colourOf(-10)));
  assert(picture.pixels.includes(colourOf(1)));
});

test("columns that were overwritten in the ring are not drawn", () => {
  const ring = newRing();
  for (let x = 0; x < 70; x++) column(ring, x, { value: 5 });
  const result = painted(ring, { right: 12 });
  assert(!new Set(colours).has(at(result, 5, 100)));
  assert.equal(at(result, 6, 100), colourOf(5));
});

test("a hidden newer column is not drawn", () => {
  const ring = newRing();
  for (let x = 0; x < 8; x++) column(ring, x, { value: 5 });
  const { scene } = painted(ring);
  const picture = createPicture(WIDTH, HEIGHT);
  paint(picture, { ...scene, head: 5 }, createScratch());
  assert.equal(at({ picture, scene }, 5, 100), colourOf(5));
  assert.notEqual(at({ picture, scene }, 6, 100), colourOf(5));
});

test("samples for the scale come from every row", () => {
  const ring = newRing();
  for (let x = 0; x < 12; x++) column(ring, x, {});
  const { scene } = painted(ring);
  assert.equal(visibleValues(scene, 1e6).length, 12 * ROWS);
  const thinned = visibleValues(scene, 12);
  assert(thinned.length >= 6 && thinned.length <= 12 && new Set(thinned).size > 3);
});
