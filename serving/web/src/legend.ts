// The colour scale as a bar with its values, its unit, and how it came about.

import { roundText } from "./format.ts";
import { css } from "./palette.ts";
import { setText, unitText } from "./readout.ts";
import type { Quantity } from "./ring.ts";
import { valueAt, type Scale } from "./scale.ts";

export interface LegendParts {
  readonly bar: HTMLCanvasElement;
  readonly marks: HTMLElement;
  readonly note: HTMLElement;
  readonly badge: HTMLElement;
}

export function drawLegend(
  parts: LegendParts, quantity: Quantity, scale: Scale, colours: Uint32Array,
  isManual: boolean, step: { bins: number; ticks: number },
): void {
  const ctx = parts.bar.getContext("2d")!;
  parts.bar.width = 256;
  parts.bar.height = 1;
  for (let i = 0; i < 256; i++) {
    ctx.fillStyle = css(colours[i]!);
    ctx.fillRect(i, 0, 1, 1);
  }
  const shares = scale.signed ? [-1, -0.5, 0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1];
  const texts = shares.map((share) => {
    if (scale.signed && share === 0) return centreText(scale);
    return `${scale.signed && share > 0 ? "+" : ""}${roundText(valueAt(scale, share))}`;
  });
  while (parts.marks.children.length < texts.length) parts.marks.append(document.createElement("span"));
  texts.forEach((text, i) => setText(parts.marks.children[i] as HTMLElement, text));
  setText(parts.badge, isManual ? "fixed" : "auto");
  const unit = unitText(quantity.unit);
  const reduced = step.bins > 1 || step.ticks > 1
    ? `largest of ${step.bins} ${step.bins === 1 ? "bin" : "bins"} × ${step.ticks} ${step.ticks === 1 ? "tick" : "ticks"} per pixel`
    : quantity.meaning;
  setText(parts.note, unit === "" ? reduced : `${unit} · ${reduced}`);
}

// Below the lower cut-off every value has the centre colour.
const centreText = (scale: Scale): string => (scale.lo > 0 ? `±${roundText(scale.lo)}` : "0");
