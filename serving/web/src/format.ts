// Numbers, prices and times as text. Prices are integer ticks until here.

const NS_PER_MS = 1_000_000n;

// A price in 1e-9 units as decimal text with a fixed number of decimals.
export function priceText(priceInt: bigint, decimals: number): string {
  const negative = priceInt < 0n;
  const magnitude = negative ? -priceInt : priceInt;
  const whole = magnitude / 1_000_000_000n;
  const fraction = (magnitude % 1_000_000_000n).toString().padStart(9, "0");
  const kept = fraction.slice(0, decimals);
  return `${negative ? "-" : ""}${whole}${kept === "" ? "" : `.${kept}`}`;
}

export function tickText(tick: number, tickSize: bigint, decimals: number): string {
  return priceText(BigInt(tick) * tickSize, decimals);
}

// A mid may lie between two ticks and then needs one more decimal.
export function midText(midX2: number, tickSize: bigint, decimals: number): string {
  const halves = BigInt(midX2) * tickSize;
  return priceText(halves / 2n, midX2 % 2 === 0 ? decimals : Math.min(9, decimals + 1));
}

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

// Four significant digits or so, without exponent where a person can do without.
export function numberText(value: number): string {
  if (Number.isNaN(value)) return "not a number";
  if (!Number.isFinite(value)) return value > 0 ? "infinite" : "-infinite";
  const magnitude = Math.abs(value);
  if (Number.isInteger(value) || magnitude >= 1e4) return magnitude < 1e15 ? grouped.format(value) : value.toExponential(3);
  if (magnitude < 1e-4) return value.toExponential(2);
  const decimals = magnitude >= 1000 ? 0 : magnitude >= 100 ? 1 : magnitude >= 10 ? 2 : magnitude >= 1 ? 3 : 4;
  return value.toFixed(decimals);
}

// Two significant digits, for scales.
export function roundText(value: number): string {
  const rounded = Number(value.toPrecision(2));
  return Math.abs(rounded) >= 1e4 ? numberText(rounded) : String(rounded);
}

export function signedText(value: number): string {
  return value > 0 ? `+${numberText(value)}` : numberText(value);
}

export interface Clock {
  readonly time: (ns: bigint) => string; // 10:31:07.100
  readonly axis: (ns: bigint, withMs: boolean) => string;
  readonly date: (ns: bigint) => string; // 2026-02-06
}

export function createClock(timeZone: string): Clock {
  const parts = { timeZone, hourCycle: "h23", hour: "2-digit", minute: "2-digit", second: "2-digit" } as const;
  const plain = new Intl.DateTimeFormat("en-GB", parts);
  const fine = new Intl.DateTimeFormat("en-GB", { ...parts, fractionalSecondDigits: 3 });
  const day = new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" });
  const ms = (ns: bigint): number => Number(ns / NS_PER_MS);
  return {
    time: (ns) => fine.format(ms(ns)),
    axis: (ns, withMs) => (withMs ? fine : plain).format(ms(ns)),
    date: (ns) => day.format(ms(ns)),
  };
}

// "250 ms", "1 s", "12 min"
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${Number((ms / 1000).toPrecision(3))} s`;
  return `${Math.round(ms / 60_000)} min`;
}
