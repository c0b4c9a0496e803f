import assert from "node:assert/strict";
import { test } from "node:test";
import { automatic, calm, leveller, NAN_LEVEL, notch, percentile, TRANSFORMS, valueAt } from "../src/scale.ts";

for (const transform of TRANSFORMS) {
  test(`${transform}: monotone, ends at the ends, zero in the centre`, () => {
    for (const signed of [true, false]) {
      const level = leveller({ lo: 0, hi: 40, signed, transform });
      let last = -1;
      for (let v = signed ? -50 : 0; v <= 50; v += 0.25) {
        assert(level(v) >= last && level(v) >= 0 && level(v) <= 255);
        last = level(v);
      }
      assert.equal(level(40), 255);
      assert.equal(level(1e9), 255);
      if (signed) assert.equal(level(-40), 0);
      assert.equal(level(0), signed ? 128 : 0);
      assert.equal(level(NaN), NAN_LEVEL);
    }
  });

  test(`${transform}: the legend inverts the scale`, () => {
    for (const lo of [0, 2]) {
      const scale = { lo, hi: 40, signed: true, transform };
      const level = leveller(scale);
      for (const share of [-1, -0.5, 0.25, 0.75, 1]) {
        assert.equal(level(valueAt(scale, share)), Math.floor(127.5 + share * 127.5 + 0.5));
      }
    }
  });
}

test("below the lower cut-off: first colour, or the centre", () => {
  assert.equal(leveller({ lo: 5, hi: 40, signed: false, transform: "linear" })(4.9), 0);
  assert.equal(leveller({ lo: 5, hi: 40, signed: true, transform: "linear" })(-4.9), 128);
});

test("one wall does not flatten the rest", () => {
  const samples = Float64Array.from({ length: 1000 }, (_, i) => (i === 7 ? 1e6 : i % 100));
  assert.equal(automatic(samples, false, "linear").hi, 100);
});

test("constant, empty, tiny and rare values have a scale", () => {
  assert.equal(automatic(new Float64Array(50), true, "asinh").hi, 1);
  assert.equal(automatic(new Float64Array(0), true, "asinh").hi, 1);
  assert.equal(automatic(new Float64Array([NaN, Infinity]), true, "asinh").hi, 1);
  assert.equal(automatic(new Float64Array(50).fill(0.0031), true, "asinh").hi, 0.004);
  const rare = new Float64Array(1000);
  rare[3] = 80;
  assert.equal(automatic(rare, false, "log").hi, 80);
});

test("steps of a scale are calm and can be walked both ways", () => {
  assert.deepEqual([1, 1.01, 99, 0.0123, 0, NaN].map(calm), [1, 1.2, 100, 0.015, 1, 1]);
  assert(notch(100, true) > 100 && notch(100, false) < 100);
  assert.equal(notch(notch(100, true), false), 100);
});

test("percentiles are nearest ranks", () => {
  const sorted = Float64Array.from([1, 2, 3, 4, 5]);
  assert.deepEqual([0, 0.5, 1].map((p) => percentile(sorted, p)), [1, 3, 5]);
});
