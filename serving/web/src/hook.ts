// window.__qm: lets a test or a bug report read what the page holds and has drawn. Read-only.

import { configOf, headOf, quantityOf, type Desk } from "./desk.ts";
import { currentEpoch } from "./feed.ts";
import { has, slotOf } from "./ring.ts";
import { tickToPx, xToPx } from "./view.ts";

export interface Meter {
  drawnSeq: number; // newest sequence number on the picture, -1 before the first
  drawn: number; // frames
  paintMs: number; // last picture
  frameMs: number; // last full frame, picture, lines and texts
  decodeMs: number; // last bin
}

export function installHook(desk: Desk, meter: Meter, picture: HTMLCanvasElement, connection: () => object): void {
  const slotOfSeq = (seq: number): number | null => {
    const ring = desk.feed.ring;
    const offset = currentEpoch(desk.feed)?.offset ?? null;
    return ring === null || offset === null || !has(ring, offset + seq) ? null : slotOf(ring, offset + seq);
  };

  const centreOf = (seq: number, k: number): { x: number; y: number } | null => {
    const ring = desk.feed.ring;
    const offset = currentEpoch(desk.feed)?.offset ?? null;
    if (ring === null || offset === null) return null;
    const slot = slotOfSeq(seq);
    // A missing bin has a place but no spot: its centre is at the middle of the view.
    const tick = slot === null ? Math.round(desk.view.centre) + k : ring.spot[slot]! + k;
    const x = xToPx(desk.view, desk.size, offset + seq + 0.5);
    return { x, y: tickToPx(desk.view, desk.size, tick) };
  };

  const hook = Object.freeze({
    // Value of a column at (seq, k) in the current epoch; null where the ring holds none.
    value(seq: number, k: number, field: string): number | null {
      const ring = desk.feed.ring;
      const slot = slotOfSeq(seq);
      const index = ring?.names.indexOf(field) ?? -1;
      if (ring === null || slot === null || index < 0) return null;
      return ring.grid[index]![slot * ring.rows + k + ring.radius] ?? null;
    },
    drawnSeq: (): number => meter.drawnSeq,
    meter: (): Meter => ({ ...meter }),
    // Centre of a cell in CSS pixels of the chart, inside the picture or not.
    cell: centreOf,
    // Colour drawn at the centre of a cell as [r, g, b, a]; null outside the picture.
    pixel(seq: number, k: number): number[] | null {
      const at = centreOf(seq, k);
      const { width, height } = desk.size;
      if (at === null || at.x < 0 || at.y < 0 || at.x >= width || at.y >= height) return null;
      const px = Math.floor((at.x / width) * picture.width);
      const py = Math.floor((at.y / height) * picture.height);
      return [...picture.getContext("2d")!.getImageData(px, py, 1, 1).data];
    },
    state: () => ({
      connection: connection(),
      epoch: configOf(desk)?.epoch ?? null,
      field: quantityOf(desk)?.name ?? null,
      scale: { ...desk.scale },
      palette: desk.scale.signed ? desk.signedPalette : desk.unsignedPalette,
      view: { ...desk.view },
      size: { ...desk.size },
      head: headOf(desk),
      received: desk.feed.ring?.received ?? 0,
    }),
  });
  Object.defineProperty(window, "__qm", { value: hook });
}
