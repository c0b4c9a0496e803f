import assert from "node:assert/strict";
import { test } from "node:test";
import { priceStep, timeStep } from "../src/axes.ts";
import { createClock, durationText, midText, numberText, priceText, roundText, tickText } from "../src/format.ts";
import { ACTIONS, actionOf } from "../src/keys.ts";
import { css, pack, SIGNED, table, unpack, UNSIGNED } from "../src/palette.ts";

test("prices are exact decimals", () => {
  assert.equal(tickText(24_001, 250_000_000n, 2), "6000.25");
  assert.equal(tickText(-3, 250_000_000n, 2), "-0.75");
  assert.equal(tickText(5, 1_000_000_000n, 0), "5");
  assert.equal(tickText(123_456_789, 10_000_000n, 2), "1234567.89");
  assert.equal(midText(48_001, 250_000_000n, 2), "6000.125");
  assert.equal(midText(48_002, 250_000_000n, 2), "6000.25");
  assert.equal(priceText(9_223_372_036_854_775_806n, 9), "9223372036.854775806");
});

test("numbers keep about four digits", () => {
  const texts = [0, 12, 1234567, 0.123456, 3.14159, 42.4242, 123.456, 1234.5, 0.00001, -7.5, NaN, -Infinity].map(numberText);
  assert.deepEqual(texts, [
    "0", "12", "1,234,567", "0.1235", "3.142", "42.42", "123.5", "1235", "1.00e-5", "-7.500", "not a number", "-infinite",
  ]);
  assert.deepEqual([4.9, 20, -0.125, 12_345].map(roundText), ["4.9", "20", "-0.13", "12,000"]);
  assert.deepEqual([400, 44_500, 720_000].map(durationText), ["400 ms", "44.5 s", "12 min"]);
});

test("times are those of the exchange", () => {
  const clock = createClock("America/Chicago");
  const ns = 1_770_388_201_700_000_000n;
  assert.equal(clock.time(ns), "08:30:01.700");
  assert.equal(clock.axis(ns, false), "08:30:01");
  assert.equal(clock.date(ns), "2026-02-06");
  assert.equal(createClock("UTC").time(1_770_336_000_000_000_000n), "00:00:00.000");
});

test("axis steps are round and have room", () => {
  assert.equal(priceStep(250_000_000n, 5, 26), 8); // 2.00
  assert.equal(priceStep(250_000_000n, 30, 26), 1); // 0.25
  assert.equal(priceStep(10_000_000n, 1, 26), 50); // 0.50
  assert.equal(priceStep(7_000_000n, 1, 26), 26); // no round price is a multiple of 0.007
  assert.equal(timeStep(50, 84), 5000);
  assert.equal(timeStep(1, 84), 100);
});

test("colour tables have 256 colours and survive packing", () => {
  for (const name of [...SIGNED, ...UNSIGNED]) assert.equal(new Set(table(name).slice(0, 256)).size > 200, true);
  assert.deepEqual(unpack(pack(1, 2, 3)), [1, 2, 3, 255]);
  assert.equal(css(pack(252, 255, 164)), "rgb(252 255 164)");
  assert.deepEqual(unpack(table("inferno")[255]!), [252, 255, 164, 255]);
});

const press = (key: string, more: object = {}) =>
  actionOf({ key, code: "", shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, target: null, ...more } as KeyboardEvent)?.id;

test("keys find their actions", () => {
  assert.equal(new Set(ACTIONS.map((a) => a.id)).size, ACTIONS.length);
  const table: [string, object, string | undefined][] = [
    [" ", {}, "pause"], ["l", {}, "live"], ["End", {}, "live"], ["Home", {}, "oldest"], ["f", {}, "follow-price"],
    ["=", { code: "Equal" }, "time-in"], ["+", { code: "Equal", shiftKey: true }, "price-in"], ["+", { code: "BracketRight" }, "time-in"],
    ["-", { code: "Minus" }, "time-out"], ["_", { code: "Minus", shiftKey: true }, "price-out"],
    ["0", {}, "reset"], ["3", {}, "field-next"], ["[", {}, "lower-down"], ["}", { shiftKey: true }, "upper-up"],
    ["k", {}, "palette"], ["t", {}, "transform"], ["ArrowLeft", { shiftKey: true }, "left"], ["Escape", {}, "unpin"],
    ["l", { ctrlKey: true }, undefined], ["l", { target: { tagName: "INPUT" } }, undefined],
    [" ", { target: { tagName: "BUTTON" } }, undefined], ["x", {}, undefined],
  ];
  for (const [key, more, id] of table) assert.equal(press(key, more), id, key);
});
