import assert from "node:assert/strict";
import { test } from "node:test";
import { advance, type Connection, type ConnectionEvent } from "../src/socket.ts";

const closed = (code: number, now = 0, reason = ""): ConnectionEvent => ({ kind: "closed", code, reason, now, chance: 0.5 });
const open = (since = 0, attempt = 0): Connection => ({ kind: "open", attempt, since });

for (const code of [1001, 1006, 1011, 1012, 1013]) {
  test(`${code} is tried again`, () => assert.equal(advance(open(), closed(code)).kind, "waiting"));
}
for (const code of [1002, 1003, 1007, 1008, 1009, 1010, 4000, 4403]) {
  test(`${code} is final`, () => {
    const state = advance(open(), closed(code, 0, "no such serving"));
    assert.deepEqual(state, { kind: "refused", reason: "no such serving" });
    assert.equal(advance(state, { kind: "retry" }), state);
    assert.equal(advance(state, closed(1006)), state);
  });
}

test("an end frame, or a plain close, is the end", () => {
  const ended = advance(open(), { kind: "ended", reason: "end of the recording" });
  assert.deepEqual(ended, { kind: "ended", reason: "end of the recording" });
  assert.equal(advance(ended, closed(1000)), ended);
  assert.equal(advance(open(), closed(1000)).kind, "ended");
});

test("a frame against the contract refuses, whatever the close says", () => {
  const state = advance(open(), { kind: "rejected", reason: "bad" });
  assert.equal(advance(state, closed(1006)).kind, "refused");
});

test("delays double up to ten seconds and start over after a steady connection", () => {
  let state: Connection = { kind: "connecting", attempt: 0 };
  const delays: number[] = [];
  for (let i = 0; i < 8; i++) {
    state = advance(state, closed(1006));
    assert(state.kind === "waiting");
    delays.push(state.delay);
    state = advance(state, { kind: "retry" });
  }
  assert.deepEqual(delays, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  const brief = advance(advance(state, { kind: "opened", now: 0 }), closed(1011, 1000));
  assert(brief.kind === "waiting" && brief.delay === 10_000);
  const steady = advance(advance(state, { kind: "opened", now: 0 }), closed(1011, 60_000));
  assert(steady.kind === "waiting" && steady.delay === 250);
});

test("delays are spread by a quarter", () => {
  const at = (chance: number) => advance(open(), { kind: "closed", code: 1006, reason: "", now: 0, chance });
  const delays = [0, 1].map((chance) => { const s = at(chance); return s.kind === "waiting" ? s.delay : NaN; });
  assert.deepEqual(delays, [188, 313]);
});
