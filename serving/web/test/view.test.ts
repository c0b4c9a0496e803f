import assert from "node:assert/strict";
import { test } from "node:test";
import {
  binsBehind, columnAt, followed, opening, pan, pxToTick, pxToX, reduction, rightEdge, tickAt, tickToPx, xToPx,
  zoomPrice, zoomTime, type Limits, type View,
} from "../src/view.ts";

const size = { width: 800, height: 500 };
const limits: Limits = { columns: [8, 8192], ticks: [6, 800] };
const view: View = { ...opening(size, 101), right: 1000, centre: 24_000 };

test("pixel and place are inverse", () => {
  for (const x of [700, 850.5, 999]) assert(Math.abs(pxToX(view, size, xToPx(view, size, x)) - x) < 1e-9);
  for (const t of [23_960, 24_000, 24_031]) assert(Math.abs(pxToTick(view, size, tickToPx(view, size, t)) - t) < 1e-9);
});

test("the centre of a cell belongs to the cell", () => {
  for (const x of [610, 733, 999]) assert.equal(columnAt(view, size, xToPx(view, size, x + 0.5)), x);
  for (const t of [23_952, 24_000, 24_047]) assert.equal(tickAt(view, size, tickToPx(view, size, t)), t);
});

test("prices grow upwards", () => assert(tickToPx(view, size, 24_010) < tickToPx(view, size, 24_000)));

test("the opening view shows every row in whole pixels", () => {
  assert(view.ticks >= 101);
  assert.equal(size.height / view.ticks, 4);
  assert.equal(size.width / view.columns, 2);
});

test("following keeps now at its place and moves the price only when it strays", () => {
  const at = followed(view, 2000, 24_005);
  assert.equal(at.right, rightEdge(view, 2000));
  assert.equal(at.centre, 24_000);
  assert.equal(followed(view, 2000, 24_030).centre, 24_030);
  assert.equal(followed({ ...view, followPrice: false }, 2000, 24_030).centre, 24_000);
  assert.equal(followed({ ...view, followTime: false }, 2000, 24_000).right, 1000);
  assert.equal(followed({ ...view, paused: true }, 2000, 24_300).right, 1000);
});

test("zooming keeps the anchor, or now while following", () => {
  const free = { ...view, followTime: false };
  const before = xToPx(free, size, 800);
  assert(Math.abs(xToPx(zoomTime(free, 0.5, 800, 900, limits), size, 800) - before) < 1e-9);
  const following = zoomTime(view, 0.5, 800, 900, limits);
  assert.equal(following.right, rightEdge(following, 900));
  const price = zoomPrice(view, 0.7, 24_020, limits);
  assert(Math.abs(tickToPx(price, size, 24_020) - tickToPx(view, size, 24_020)) < 1e-9);
});

test("zoom has limits", () => {
  assert.equal(zoomTime(view, 1e-9, 0, 900, limits).columns, 8);
  assert.equal(zoomTime(view, 1e9, 0, 900, limits).columns, 8192);
  assert.equal(zoomPrice(view, 1e-9, 0, limits).ticks, 6);
});

test("panning away detaches, panning back to now follows again", () => {
  const head = 960;
  const at = followed(view, head, 24_000);
  const away = pan(at, -100, 0, 0, head);
  assert.deepEqual([away.followTime, away.followPrice], [false, true]);
  assert.equal(pan(away, 0, 5, 0, head).followTime, false);
  assert.equal(pan(away, 0, 5, 0, head).followPrice, false);
  const back = pan(away, 500, 0, 0, head);
  assert.equal(back.followTime, true);
  assert.equal(back.right, rightEdge(view, head));
});

test("bins behind: none at now, the rest when paused or detached", () => {
  const at = followed(view, 960, 24_000);
  assert.equal(binsBehind(at, 960, -1), 0);
  assert.equal(binsBehind({ ...at, paused: true }, 1010, 960), 50);
  assert.equal(binsBehind({ ...at, followTime: false, right: 900 }, 960, -1), 61);
});

test("zoomed out, several bins and ticks share a pixel", () => {
  assert.deepEqual(reduction(view, size), { bins: 1, ticks: 1 });
  assert.deepEqual(reduction({ ...view, columns: 2000, ticks: 1200 }, size), { bins: 3, ticks: 3 });
});
