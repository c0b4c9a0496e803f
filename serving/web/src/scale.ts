// From a value to a colour index: limits, transforms, percentiles.

export type Transform = "linear" | "asinh" | "log";
export const TRANSFORMS: readonly Transform[] = ["asinh", "linear", "log"];

export interface Scale {
  readonly lo: number; // magnitude drawn with the first colour (unsigned) or the centre (signed)
  readonly hi: number; // magnitude drawn with the last colour
  readonly signed: boolean;
  readonly transform: Transform;
}

// Colour index of "not a number", behind the 256 colours of a table.
export const NAN_LEVEL = 256;

// Where a transform turns from linear to logarithmic, as a share of the upper limit.
const KNEE: Record<Transform, number> = { linear: 1, asinh: 1 / 12, log: 1 / 200 };

function curve(transform: Transform, knee: number): (magnitude: number) => number {
  if (transform === "asinh") return (m) => Math.asinh(m / knee);
  if (transform === "log") return (m) => Math.log1p(m / knee);
  return (m) => m;
}

// Return the function value -> colour index 0..255, or NAN_LEVEL.
export function leveller(scale: Scale): (value: number) => number {
  const g = curve(scale.transform, KNEE[scale.transform] * scale.hi);
  const start = g(scale.lo);
  const gain = 1 / (g(scale.hi) - start);
  if (scale.signed) {
    return (value) => {
      if (value !== value) return NAN_LEVEL;
      const magnitude = value < 0 ? -value : value;
      let share = (g(magnitude) - start) * gain;
      if (!(share > 0)) share = 0;
      else if (share > 1) share = 1;
      return Math.floor(127.5 + (value < 0 ? -share : share) * 127.5 + 0.5);
    };
  }
  return (value) => {
    if (value !== value) return NAN_LEVEL;
    if (value <= scale.lo) return 0;
    const share = (g(value) - start) * gain;
    return share >= 1 ? 255 : Math.floor(share * 255 + 0.5);
  };
}

// Value drawn at a share of the scale: -1..1 signed, 0..1 unsigned. For the legend.
export function valueAt(scale: Scale, share: number): number {
  const knee = KNEE[scale.transform] * scale.hi;
  const g = curve(scale.transform, knee);
  const level = g(scale.lo) + Math.abs(share) * (g(scale.hi) - g(scale.lo));
  const inverse = { linear: (u: number) => u, asinh: (u: number) => knee * Math.sinh(u), log: (u: number) => knee * Math.expm1(u) };
  const magnitude = inverse[scale.transform](level);
  return share < 0 ? -magnitude : magnitude;
}

const STEPS = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];

// Round a magnitude up to a calm number, so that an automatic scale does not flicker.
export function calm(value: number): number {
  if (!(value > 0) || !Number.isFinite(value)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  const mantissa = value / unit;
  const step = STEPS.find((s) => s >= mantissa - 1e-9) ?? 10;
  return Number((step * unit).toPrecision(3));
}

export function percentile(sorted: Float64Array, share: number): number {
  if (sorted.length === 0) return NaN;
  return sorted[Math.round(share * (sorted.length - 1))]!;
}

// Limits for the values seen: the plain maximum is wrong, because one wall flattens all the rest.
export function automatic(samples: Float64Array, signed: boolean, transform: Transform): Scale {
  const magnitudes = samples.map(Math.abs).filter(Number.isFinite).sort();
  const high = percentile(magnitudes, 0.995);
  const hi = calm(high > 0 ? high : percentile(magnitudes, 1));
  return { lo: 0, hi, signed, transform };
}

// Move a limit one notch on a 1 - 1.2 - 1.5 - 2 ... ladder.
export function notch(value: number, up: boolean): number {
  if (value <= 0) return value;
  return up ? calm(value * 1.01) : calm(value / 1.35);
}
