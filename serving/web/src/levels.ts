// Colour indices of the ring, kept until a value, the field or the scale changes. A transform
// costs more than all the rest of a frame, and most cells were on the frame before.

import type { Quantity, Ring } from "./ring.ts";
import { leveller, NAN_LEVEL, type Scale } from "./scale.ts";

export interface Levels {
  readonly ring: Ring;
  readonly quantity: Quantity;
  readonly scale: Scale;
  readonly values: Uint16Array; // width * rows
  readonly version: Float64Array; // of the column that the slot was computed from
  readonly levelOf: (value: number) => number;
  readonly strength: Int16Array; // per level: how far from "nothing", -1 for "not a number"
}

const same = (a: Scale, b: Scale): boolean =>
  a.lo === b.lo && a.hi === b.hi && a.signed === b.signed && a.transform === b.transform;

// The cache for what is to be drawn: the given one where it still holds, else an empty one.
export function levelsFor(cache: Levels | null, ring: Ring, quantity: Quantity, scale: Scale): Levels {
  if (cache?.ring === ring && cache.quantity === quantity && same(cache.scale, scale)) return cache;
  const keep = cache?.ring === ring ? cache : null;
  const strength = Int16Array.from({ length: NAN_LEVEL + 1 }, (_, level) =>
    level === NAN_LEVEL ? -1 : scale.signed ? Math.abs(2 * level - 255) : level,
  );
  return {
    ring, quantity, scale, strength, levelOf: leveller(scale),
    values: keep?.values ?? new Uint16Array(ring.width * ring.rows),
    version: keep?.version.fill(NaN) ?? new Float64Array(ring.width).fill(NaN),
  };
}

// Bring the levels of one column up to date; return where they begin.
export function columnLevels(levels: Levels, slot: number): number {
  const { ring, values, levelOf } = levels;
  const base = slot * ring.rows;
  if (levels.version[slot] === ring.version[slot]) return base;
  const { plus, minus } = levels.quantity;
  for (let i = base; i < base + ring.rows; i++) {
    const value = minus === null ? plus[i]! : plus[i]! - minus[i]!;
    // An infinite value is no number that a colour could stand for.
    values[i] = value - value === 0 ? levelOf(value) : NAN_LEVEL;
  }
  levels.version[slot] = ring.version[slot]!;
  return base;
}
