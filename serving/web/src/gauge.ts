// The score: number, centre-zero bar, sparkline, the other model outputs, and warm-up progress.

import type { RuntimeConfig } from "./contract.ts";
import { numberText, signedText } from "./format.ts";
import { INK } from "./palette.ts";
import { setText, unitText } from "./readout.ts";
import { has, READY, slotOf, type Ring } from "./ring.ts";
import { calm } from "./scale.ts";

export interface GaugeParts {
  readonly number: HTMLElement;
  readonly name: HTMLElement;
  readonly meter: HTMLElement;
  readonly bar: HTMLElement;
  readonly low: HTMLElement;
  readonly high: HTMLElement;
  readonly spark: HTMLCanvasElement;
  readonly warmup: HTMLElement;
  readonly warmupText: HTMLElement;
  readonly warmupBar: HTMLProgressElement;
  readonly others: HTMLElement;
}

export const SPARK_BINS = 600;

// The output that the gauge shows: "score", else the first signal.
export function scoreIndex(config: RuntimeConfig): number {
  const fields = config.bin_schema_fields;
  const named = fields.findIndex((f) => f.name === "score");
  return named >= 0 ? named : fields.findIndex((f) => f.role === "signal");
}

// Largest magnitude of an output among the newest bins, at least 1: the half width of the bar.
export function reach(ring: Ring, index: number, head: number): number {
  let most = 1;
  for (let x = head - SPARK_BINS + 1; x <= head; x++) {
    const value = has(ring, x) ? Math.abs(ring.values[index]![slotOf(ring, x)]!) : 0;
    if (value > most) most = value;
  }
  return calm(most);
}

export function isReady(ring: Ring, x: number): boolean {
  return has(ring, x) && (ring.flags[slotOf(ring, x)]! & READY) !== 0;
}

export function drawBar(parts: GaugeParts, ring: Ring, config: RuntimeConfig, head: number): void {
  const index = scoreIndex(config);
  if (index < 0 || head < 0 || !has(ring, head)) return;
  const value = ring.values[index]![slotOf(ring, head)]!;
  const half = reach(ring, index, head);
  const share = isReady(ring, head) ? Math.max(-1, Math.min(1, value / half)) : 0;
  parts.bar.style.left = `${share < 0 ? 50 + 50 * share : 50}%`;
  parts.bar.style.width = `${50 * Math.abs(share)}%`;
  parts.bar.style.backgroundColor = share < 0 ? INK.ask : INK.bid;
  drawSpark(parts.spark, ring, index, head, half);
}

export function drawTexts(parts: GaugeParts, ring: Ring, config: RuntimeConfig, head: number): void {
  const index = scoreIndex(config);
  const fields = config.bin_schema_fields;
  const ready = isReady(ring, head);
  const slot = slotOf(ring, head);
  const field = fields[index];
  setText(parts.name, field === undefined ? "no score" : field.name);
  parts.name.title = field?.meaning ?? "";
  const value = field === undefined ? NaN : ring.values[index]![slot]!;
  const text = field === undefined || !ready ? "–" : signedText(value);
  setText(parts.number, text);
  if (field !== undefined) {
    const half = reach(ring, index, head);
    setText(parts.low, numberText(-half));
    setText(parts.high, signedText(half));
    parts.meter.setAttribute("aria-valuemin", String(-half));
    parts.meter.setAttribute("aria-valuemax", String(half));
    parts.meter.setAttribute("aria-valuenow", String(ready ? value : 0));
    parts.meter.setAttribute("aria-valuetext", ready ? `${field.name} ${text}` : "warming up");
  }
  parts.warmup.hidden = ready;
  if (!ready) {
    const needed = config.model_config.warmup_bins;
    const done = Number(ring.seq[slot]) + 1;
    parts.warmupBar.max = Math.max(1, needed);
    parts.warmupBar.value = Math.min(done, needed);
    const over = done > needed ? " (longer than the model declares)" : "";
    setText(parts.warmupText, `warming up: bin ${Math.min(done, needed)} of ${needed}${over}`);
  }
  const others = fields.flatMap((f, i) => {
    if (i === index || f.name === "ready") return [];
    const v = ring.values[i]![slot]!;
    const shown = !ready ? "–" : f.dtype === "bool" ? (v === 0 ? "no" : "yes") : f.role === "signal" ? signedText(v) : numberText(v);
    return [`${f.name} ${shown}${unitText(f.unit) === "" ? "" : ` ${unitText(f.unit)}`}`];
  });
  setText(parts.others, others.join("   "));
}

function drawSpark(canvas: HTMLCanvasElement, ring: Ring, index: number, head: number, half: number): void {
  const ratio = devicePixelRatio;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const ctx = canvas.getContext("2d")!;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  ctx.strokeStyle = INK.rule;
  ctx.lineWidth = 1;
  ctx.beginPath();
  ctx.moveTo(0, Math.round(height / 2) + 0.5);
  ctx.lineTo(width, Math.round(height / 2) + 0.5);
  ctx.stroke();
  ctx.strokeStyle = INK.text;
  ctx.lineWidth = 1.2;
  ctx.beginPath();
  let drawing = false;
  for (let i = 0; i < SPARK_BINS; i++) {
    const x = head - SPARK_BINS + 1 + i;
    if (!isReady(ring, x)) {
      drawing = false;
      continue;
    }
    const value = ring.values[index]![slotOf(ring, x)]!;
    const px = (i / (SPARK_BINS - 1)) * (width - 2) + 1;
    const py = height / 2 - (value / half) * (height / 2 - 3);
    if (drawing) ctx.lineTo(px, py);
    else ctx.moveTo(px, py);
    drawing = true;
  }
  ctx.stroke();
}
