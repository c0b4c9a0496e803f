// Colour tables as packed pixels, and the fixed colours of everything that is not a value.

import { NAN_LEVEL } from "./scale.ts";
import { TABLES } from "./palette-tables.ts";

export type PaletteName = keyof typeof TABLES;
export const UNSIGNED: readonly PaletteName[] = ["inferno", "viridis", "cividis"];
export const SIGNED: readonly PaletteName[] = ["berlin", "managua"];

// Pixels are written through a Uint32Array over RGBA bytes: little-endian, as every browser runs.
export function pack(red: number, green: number, blue: number, alpha = 255): number {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

export function unpack(pixel: number): [number, number, number, number] {
  return [pixel & 255, (pixel >>> 8) & 255, (pixel >>> 16) & 255, pixel >>> 24];
}

export function fromHex(hex: string): number {
  const value = parseInt(hex.replace("#", ""), 16);
  return pack(value >>> 16, (value >>> 8) & 255, value & 255);
}

export function css(pixel: number): string {
  const [red, green, blue] = unpack(pixel);
  return `rgb(${red} ${green} ${blue})`;
}

export function mix(a: number, b: number, share: number): number {
  const p = unpack(a);
  const q = unpack(b);
  const blend = (i: 0 | 1 | 2): number => Math.round(p[i] + (q[i] - p[i]) * share);
  return pack(blend(0), blend(1), blend(2));
}

// Cells whose value is not a number: seen, never mistaken for a value of any table.
const NAN_COLOUR = fromHex("#7d4fd1");

export function table(name: PaletteName): Uint32Array {
  const hex = TABLES[name];
  const pixels = new Uint32Array(NAN_LEVEL + 1);
  for (let i = 0; i < NAN_LEVEL; i++) pixels[i] = fromHex(hex.slice(6 * i, 6 * i + 6));
  pixels[NAN_LEVEL] = NAN_COLOUR;
  return pixels;
}

// The same table drained of colour, for columns of a model that is still warming up.
export function desaturated(pixels: Uint32Array): Uint32Array {
  return pixels.map((pixel) => {
    const [red, green, blue] = unpack(pixel);
    const grey = Math.round(0.2126 * red + 0.7152 * green + 0.0722 * blue);
    return mix(pixel, pack(grey, grey, grey), 0.8);
  });
}

export const INK = {
  ground: "#0b0d12",
  panel: "#11141b",
  raised: "#1a1f29",
  rule: "#262d3a",
  text: "#d7dce4",
  dim: "#8b95a5",
  bid: "#56b4e9",
  ask: "#e69f00",
  mid: "#f4f6fa",
  casing: "#05060a",
  accent: "#b9a6ff",
  good: "#7bc98f",
  warn: "#e8cf63",
  bad: "#ff7a7a",
} as const;
