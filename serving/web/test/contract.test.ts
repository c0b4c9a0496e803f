import assert from "node:assert/strict";
import { test } from "node:test";
import { binValues, ContractError, parseFrame } from "../src/contract.ts";
import { config, update } from "./frames.ts";

const parse = (value: object) => parseFrame(JSON.stringify(value));

test("a configuration and a bin parse, 64-bit text becomes bigint", () => {
  const parsed = parse(config());
  assert(parsed.type === "runtime_config");
  assert.equal(parsed.instrument.tick_size_int, 250_000_000n);
  const bin = parse(update(17));
  assert(bin.type === "grid_update");
  assert.equal(bin.seq, 17n);
  assert.equal(bin.bin_start_ns, 1_770_388_201_700_000_000n);
});

test("an absent price is null and stays null", () => {
  const bin = parse(update(1, { best_ask_price_int: null }));
  assert(bin.type === "grid_update");
  assert.equal(bin.best_ask_price_int, null);
});

const instrument = config().instrument;
const faults: [string, object, RegExp][] = [
  ["an unknown key", config({ colour: 1 }), /unknown key colour/],
  ["an unknown key inside", config({ instrument: { ...instrument, tick: 1 } }), /instrument: unknown key tick/],
  ["a missing key", config({ state_hash: undefined }), /state_hash: expected text, found nothing/],
  ["a number where text is due", update(1, { seq: 1 }), /seq: expected an integer as text, found 1/],
  ["text that is no integer", update(1, { seq: "1.0" }), /seq/],
  ["a leading zero", update(1, { seq: "01" }), /seq/],
  ["text where a number is due", update(1, { mid_price: "1" }), /mid_price: expected a number/],
  ["another protocol", config({ protocol_version: 2 }), /protocol_version: expected 1, found 2/],
  ["an unknown state", update(1, { book_state: "odd" }), /book_state/],
  ["an unknown frame", { type: "hello" }, /frame.type/],
  ["an inherited name as type", { type: "toString" }, /frame.type/],
  ["rows that do not fit the radius", config({ grid_rows: 6 }), /grid_rows/],
  ["a zero tick", config({ instrument: { ...instrument, tick_size_int: "0" } }), /tick_size_int/],
  ["a grid without pressure", config({ grid_schema_fields: [] }), /grid lacks k/],
  ["an extra key in a small frame", { type: "end", reason: "x", code: 1 }, /unknown key code/],
];
for (const [name, frame, message] of faults) {
  test(`${name} is refused`, () => assert.throws(() => parse(frame), (e) => e instanceof ContractError && message.test(e.message)));
}

test("text that is not JSON is refused", () => assert.throws(() => parseFrame("{"), ContractError));

test("model outputs follow the announced fields, and only them", () => {
  const parsed = parse(config());
  assert(parsed.type === "runtime_config");
  const values = binValues(parsed.bin_schema_fields, { score: -0.5, ready: true, n: "12" });
  assert.deepEqual([...values], [-0.5, 1, 12]);
  for (const wrong of [{ score: 1, ready: true }, { score: 1, ready: true, n: "1", more: 1 }, { score: 1, ready: 1, n: "1" }]) {
    assert.throws(() => binValues(parsed.bin_schema_fields, wrong), ContractError);
  }
});
