// The chart on its canvases: one owner of the animation frame, drawing only when something changed.

import { drawPriceAxis, drawTimeAxis, PRICE_AXIS, TIME_AXIS, type Tag } from "./axes.ts";
import { configOf, follow, headOf, sceneOf, type Desk } from "./desk.ts";
import { tickText } from "./format.ts";
import { createPicture, createScratch, paint, type Picture, type Scene } from "./heatmap.ts";
import type { Meter } from "./hook.ts";
import { drawOverlay } from "./overlay.ts";
import { INK } from "./palette.ts";
import { has, slotOf } from "./ring.ts";

// What changed: the cursor only, or anything that needs a new picture.
export type Change = "cursor" | "full";

export interface Screen {
  readonly meter: Meter;
  readonly canvas: HTMLCanvasElement; // holds the picture
  readonly invalidate: (change: Change) => void;
}

export function createScreen(
  desk: Desk, chart: HTMLElement, canvas: HTMLCanvasElement, overlay: HTMLCanvasElement, afterFrame: () => void,
): Screen {
  const meter: Meter = { drawnSeq: -1, drawn: 0, paintMs: 0, frameMs: 0, decodeMs: 0 };
  const context = canvas.getContext("2d", { alpha: false })!;
  const over = overlay.getContext("2d")!;
  const scratch = createScratch();
  let picture: Picture = createPicture(1, 1);
  let image = wrap(picture);
  let pending: Change | null = null;

  function invalidate(change: Change): void {
    if (pending === null) requestAnimationFrame(frame);
    if (pending !== "full") pending = change;
  }

  function frame(): void {
    const change = pending;
    pending = null;
    const began = performance.now();
    const scene = sceneOf(desk);
    if (scene !== null) {
      if (change === "full") drawPicture(scene);
      drawOver(scene);
    }
    afterFrame();
    if (change === "full") meter.frameMs = performance.now() - began;
  }

  function drawPicture(scene: Scene): void {
    const began = performance.now();
    paint(picture, scene, scratch);
    context.putImageData(image, 0, 0);
    meter.paintMs = performance.now() - began;
    meter.drawn++;
    if (has(scene.ring, scene.head)) meter.drawnSeq = scene.ring.seq[slotOf(scene.ring, scene.head)]!;
  }

  function drawOver(scene: Scene): void {
    const config = configOf(desk)!;
    const { cursor, isPinned, showProfile, size, feed, clock } = desk;
    over.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    over.clearRect(0, 0, overlay.width, overlay.height);
    drawOverlay({ ...scene, ctx: over, size, cursor, isPinned, showProfile, epochs: feed.epochs, clock });
    const price = { tickSize: config.instrument.tick_size_int, decimals: config.instrument.price_decimals };
    drawPriceAxis(over, scene.view, size, price, priceTags(desk));
    drawTimeAxis(over, scene.ring, scene.view, size, scene.head, Number(config.bin_ns) / 1e6, clock);
  }

  function resize(): void {
    const box = chart.getBoundingClientRect();
    const ratio = devicePixelRatio;
    // The picture covers whole device pixels, and so do the functions that map into it.
    const width = Math.max(64, Math.floor((box.width - PRICE_AXIS) * ratio));
    const height = Math.max(64, Math.floor((box.height - TIME_AXIS) * ratio));
    const before = desk.size;
    desk.size = { width: width / ratio, height: height / ratio };
    const columns = desk.view.columns * (desk.size.width / before.width);
    const ticks = desk.view.ticks * (desk.size.height / before.height);
    desk.view = { ...desk.view, columns, ticks };
    follow(desk);
    picture = createPicture(width, height);
    image = wrap(picture);
    Object.assign(canvas, { width, height });
    canvas.style.width = `${desk.size.width}px`;
    canvas.style.height = `${desk.size.height}px`;
    Object.assign(overlay, { width: Math.round(box.width * ratio), height: Math.round(box.height * ratio) });
    invalidate("full");
  }

  new ResizeObserver(resize).observe(chart);
  resize();
  return { meter, canvas, invalidate };
}

// The same memory as image data: painting needs no copy.
function wrap(picture: Picture): ImageData {
  const bytes = new Uint8ClampedArray(picture.pixels.buffer as ArrayBuffer);
  return new ImageData(bytes, picture.width, picture.height);
}

function priceTags(desk: Desk): Tag[] {
  const ring = desk.feed.ring!;
  const head = headOf(desk);
  const { tick_size_int: tickSize, price_decimals: decimals } = configOf(desk)!.instrument;
  const tags: Tag[] = [];
  const add = (tick: number, colour: string): void => {
    if (!Number.isNaN(tick)) tags.push({ tick, text: tickText(tick, tickSize, decimals), colour });
  };
  if (has(ring, head)) {
    add(ring.ask[slotOf(ring, head)]!, INK.ask);
    add(ring.bid[slotOf(ring, head)]!, INK.bid);
  }
  if (desk.cursor !== null) add(desk.cursor.tick, INK.accent);
  return tags;
}
