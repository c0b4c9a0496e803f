import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { ContractError } from "../src/contract.ts";
import { createFeed, currentEpoch, disconnected, takeBinary, takeText, type Feed } from "../src/feed.ts";
import { has, quantities, quantityAt, READY, slotOf, VALID } from "../src/ring.ts";
import { config, grid, GRID, update } from "./frames.ts";

const text = (feed: Feed, frame: object) => takeText(feed, JSON.stringify(frame));

function started(): Feed {
  const feed = createFeed();
  text(feed, config());
  return feed;
}

function bin(feed: Feed, seq: number, changes: object = {}) {
  text(feed, update(seq, changes));
  return takeBinary(feed, grid(seq));
}

test("bins fill the ring with the values of the wire", () => {
  const feed = started();
  for (const seq of [5, 6, 7]) bin(feed, seq);
  const ring = feed.ring!;
  assert.equal(ring.head, 2);
  const slot = slotOf(ring, 1);
  assert.equal(ring.seq[slot], 6);
  assert.equal(ring.spot[slot], 24_000);
  assert.equal(ring.midX2[slot], 48_001);
  assert.equal(ring.flags[slot], VALID | READY);
  const column = (name: string) => [...ring.grid[ring.names.indexOf(name)]!.subarray(slot * 5, slot * 5 + 5)];
  assert.deepEqual(column("pressure_variant"), [6, 6.25, 6.5, 6.75, 7]);
  assert.deepEqual(column("last_event_id"), [60, 61, 62, 63, 64]);
  assert.deepEqual(column("touched"), [1, 0, 1, 0, 1]);
  const net = quantities(ring, currentEpoch(feed)!.config.grid_schema_fields)[0]!;
  assert.equal(quantityAt(net, ring, slot, 4), 3);
});

test("a missing bin is a gap, and back-fill closes it", () => {
  const feed = started();
  for (const seq of [5, 6, 9]) bin(feed, seq);
  const ring = feed.ring!;
  assert.deepEqual([0, 1, 2, 3, 4].map((x) => has(ring, x)), [true, true, false, false, true]);
  bin(feed, 7);
  assert(has(ring, 2));
  assert.equal(ring.head, 4);
});

test("a bin before the first one has no place", () => {
  const feed = started();
  bin(feed, 5);
  assert.equal(bin(feed, 4).kind, "late");
  assert.equal(feed.ring!.received, 1);
});

test("the state of a bin: invalid book, warming up, absent prices", () => {
  const feed = started();
  bin(feed, 0, { book_valid: false, best_ask_price_int: null, values: { score: 0, ready: false, n: "0" } });
  const ring = feed.ring!;
  assert.equal(ring.flags[0], 0);
  assert(Number.isNaN(ring.ask[0]) && Number.isNaN(ring.midX2[0]));
  assert.equal(ring.bid[0], 24_000);
});

test("reconnecting to the same epoch asks for what is missing and keeps the ring", () => {
  const feed = started();
  bin(feed, 5);
  text(feed, update(6)); // its binary message is lost with the connection
  disconnected(feed);
  const happening = text(feed, config());
  assert(happening?.kind === "configured");
  assert.equal(happening.resume, 5n);
  assert.equal(happening.fresh, false);
  bin(feed, 6);
  assert.equal(feed.ring!.head, 1);
});

test("a new epoch stands after the old one, as far away as its time says", () => {
  const feed = started();
  bin(feed, 5);
  text(feed, { type: "serving_changed", runtime_config: config({ epoch: "bb02" }) });
  bin(feed, 0, { bin_start_ns: update(9).bin_start_ns, bin_end_ns: update(9).bin_end_ns });
  const ring = feed.ring!;
  assert.equal(currentEpoch(feed)!.firstX, 4); // bins 6, 7 and 8 passed between
  assert.deepEqual([0, 1, 2, 3, 4].map((x) => has(ring, x)), [true, false, false, false, true]);
  assert.equal(ring.seq[slotOf(ring, 4)], 0);
  assert.equal(ring.epoch[slotOf(ring, 4)], 1);
});

test("an epoch that restarts earlier follows at once", () => {
  const feed = started();
  bin(feed, 50);
  text(feed, config({ epoch: "bb02" }));
  bin(feed, 0);
  assert.equal(currentEpoch(feed)!.firstX, 1);
});

test("another grid begins a new ring", () => {
  const feed = started();
  bin(feed, 5);
  const happening = text(feed, config({ epoch: "bb02", bin_ns: "50000000" }));
  assert(happening?.kind === "configured" && happening.fresh);
  assert.equal(feed.ring!.head, -1);
});

const broken: [string, (feed: Feed) => void][] = [
  ["a binary message without its text", (f) => takeBinary(f, grid(1))],
  ["two texts in a row", (f) => { text(f, update(1)); text(f, update(2)); }],
  ["a price between two ticks", (f) => bin(f, 1, { spot_ref_price_int: "1" })],
  ["fewer columns than announced", (f) => { text(f, update(1)); takeBinary(f, grid(1, {}, GRID.slice(0, 5))); }],
  ["columns in another order", (f) => { text(f, update(1)); takeBinary(f, grid(1, {}, [...GRID].reverse())); }],
  ["rows in another order", (f) => { text(f, update(1)); takeBinary(f, grid(1, { k: [2, 1, 0, -1, -2] })); }],
  ["a null", (f) => { text(f, update(1)); takeBinary(f, grid(1, { rest_depth: [1n, null, 2n, 3n, 4n] })); }],
  ["bytes that are no Arrow stream", (f) => { text(f, update(1)); takeBinary(f, new ArrayBuffer(64)); }],
];
for (const [name, act] of broken) {
  test(`${name}: refused`, () => assert.throws(() => act(started()), ContractError));
}

test("a bin before any configuration is refused", () => {
  assert.throws(() => text(createFeed(), update(1)), ContractError);
});

// Written by the Python tests with the production encoder.
const recorded = process.env["QMACHINA_FRAMES"] ?? "";
test("frames of the production encoder arrive unchanged", { skip: !existsSync(recorded) && "QMACHINA_FRAMES names no file" }, () => {
  const record = JSON.parse(readFileSync(recorded, "utf8")) as {
    config: string;
    others: string[];
    bins: { text: string; binary: string; columns: Record<string, number[]>; values: Record<string, number> }[];
  };
  const feed = createFeed();
  takeText(feed, record.config);
  record.bins.forEach((sent, i) => {
    takeText(feed, sent.text);
    const happening = takeBinary(feed, new Uint8Array(Buffer.from(sent.binary, "base64")).buffer);
    assert.deepEqual(happening, { kind: "column", x: i });
    const ring = feed.ring!;
    const slot = slotOf(ring, i);
    for (const [name, values] of Object.entries(sent.columns)) {
      const store = ring.grid[ring.names.indexOf(name)]!;
      assert.deepEqual([...store.subarray(slot * ring.rows, (slot + 1) * ring.rows)], values, name);
    }
    for (const [name, value] of Object.entries(sent.values)) {
      assert.equal(ring.values[ring.binNames.indexOf(name)]![slot], value, name);
    }
  });
  for (const other of record.others) assert.notEqual(takeText(feed, other), undefined);
  assert(record.bins.length > 1 && record.others.length > 3);
});
