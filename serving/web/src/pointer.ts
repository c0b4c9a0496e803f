// Wheel, drag, hover and click on the chart. The zones are the picture and its two axes.

import * as desk from "./desk.ts";
import type { Desk } from "./desk.ts";
import { columnAt, pxToTick, pxToX, tickAt } from "./view.ts";

type Zone = "picture" | "price" | "time";

// Wheel zoom is proportional to the wheel, and never jumps by more than this per event.
const WHEEL_GAIN = 0.0015;
const WHEEL_CAP = 0.35;
// A hand trembles: less than this is a click, and along the other axis no movement.
const SLOP = 5;

export function listen(canvas: HTMLCanvasElement, state: Desk, changed: (level: "cursor" | "full") => void): void {
  let drag: { x: number; y: number; zone: Zone; movedX: boolean; movedY: boolean; lastX: number; lastY: number } | null = null;

  const zoneOf = (x: number, y: number): Zone =>
    x > state.size.width ? "price" : y > state.size.height ? "time" : "picture";

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    // Shift turns the wheel sideways in most browsers.
    const amount = event.deltaY !== 0 ? event.deltaY : event.deltaX;
    const factor = Math.exp(Math.max(-WHEEL_CAP, Math.min(WHEEL_CAP, amount * WHEEL_GAIN)));
    const zone = zoneOf(event.offsetX, event.offsetY);
    const zoomsTime = zone === "time" || (zone === "picture" && (event.shiftKey || event.ctrlKey));
    const zoomsPrice = zone === "price" || (zone === "picture" && !event.shiftKey);
    if (zoomsTime) desk.zoomTimeBy(state, factor, pxToX(state.view, state.size, event.offsetX));
    if (zoomsPrice) desk.zoomPriceBy(state, factor, pxToTick(state.view, state.size, event.offsetY));
    changed("full");
  }, { passive: false });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const { offsetX: x, offsetY: y } = event;
    drag = { x, y, zone: zoneOf(x, y), movedX: false, movedY: false, lastX: x, lastY: y };
    canvas.setPointerCapture(event.pointerId);
  });

  canvas.addEventListener("pointermove", (event) => {
    const { offsetX: x, offsetY: y } = event;
    if (drag === null) {
      const inside = zoneOf(x, y) === "picture" && x >= 0 && y >= 0;
      if (!state.isPinned) state.cursor = inside ? cellAt(x, y) : null;
      canvas.classList.toggle("over-price", zoneOf(x, y) === "price");
      canvas.classList.toggle("over-time", zoneOf(x, y) === "time");
      changed("cursor");
      return;
    }
    drag.movedX ||= Math.abs(x - drag.x) > SLOP;
    drag.movedY ||= Math.abs(y - drag.y) > SLOP;
    const dx = drag.movedX ? x - drag.lastX : 0;
    const dy = drag.movedY ? y - drag.lastY : 0;
    if (drag.movedX) drag.lastX = x;
    if (drag.movedY) drag.lastY = y;
    if (dx === 0 && dy === 0) return;
    const { view, size } = state;
    if (drag.zone === "price") desk.zoomPriceBy(state, Math.exp(dy * 0.006));
    else if (drag.zone === "time") desk.zoomTimeBy(state, Math.exp(-dx * 0.006));
    else desk.panBy(state, (-dx / size.width) * view.columns, (dy / size.height) * view.ticks);
    changed("full");
  });

  canvas.addEventListener("pointerup", (event) => {
    const wasClick = drag !== null && !drag.movedX && !drag.movedY && drag.zone === "picture";
    drag = null;
    if (wasClick) {
      state.isPinned = !state.isPinned;
      state.cursor = cellAt(event.offsetX, event.offsetY);
      changed("cursor");
    }
  });

  canvas.addEventListener("pointercancel", () => { drag = null; });

  canvas.addEventListener("pointerleave", () => {
    if (!state.isPinned && drag === null) state.cursor = null;
    changed("cursor");
  });

  canvas.addEventListener("dblclick", (event) => {
    const zone = zoneOf(event.offsetX, event.offsetY);
    state.isPinned = false;
    if (zone === "price") desk.setFollowPrice(state, true);
    else if (zone === "time") desk.goLive(state);
    else desk.reset(state);
    changed("full");
  });

  function cellAt(x: number, y: number): { x: number; tick: number } {
    return { x: columnAt(state.view, state.size, x), tick: tickAt(state.view, state.size, y) };
  }
}
