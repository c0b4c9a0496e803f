// Composition of the live page: stream in, screen out, state in between.

import { ContractError } from "./contract.ts";
import { begin, configOf, createDesk, follow, goLive, rescale } from "./desk.ts";
import { createFeed, currentEpoch, disconnected, takeBinary, takeText, type Happening } from "./feed.ts";
import { createClock } from "./format.ts";
import type { GaugeParts } from "./gauge.ts";
import { installHook } from "./hook.ts";
import { actionOf, type Action } from "./keys.ts";
import { createNotices } from "./notices.ts";
import { drawNumbers, drawReading, spoken } from "./numbers.ts";
import { listen } from "./pointer.ts";
import { buildRows, setText, type Panel } from "./readout.ts";
import { createScreen } from "./screen.ts";
import { byId, showConfig, showConnection, showControls, wireControls } from "./shell.ts";
import { openSocket, type Connection, type Socket } from "./socket.ts";

// Numbers that change faster than this cannot be read.
const TEXT_EVERY_MS = 250;
const ACK_EVERY_MS = 1000;
const ANNOUNCE_EVERY_MS = 2000;
const RATE_OVER_MS = 2000;

export function start(serving: string): void {
  const desk = createDesk(createFeed(), { width: 800, height: 500 });
  const notices = createNotices(byId("notices"));
  const panel = panelParts();
  const gauge = gaugeParts();
  const overlay = byId<HTMLCanvasElement>("overlay");
  let connection: Connection = { kind: "connecting", attempt: 0 };
  let lastBinAt = -Infinity;
  let arrivals: number[] = [];
  let ackedSeq = -1n;
  let announcedAt = -Infinity;
  let textsAt = -Infinity;

  const screen = createScreen(desk, byId("chart"), byId<HTMLCanvasElement>("picture"), overlay, () => {
    const now = performance.now();
    const due = now - textsAt >= TEXT_EVERY_MS;
    if (due) textsAt = now;
    if (due) showNumbers();
    // Under a cursor the read-out follows the hand at once.
    if (due || desk.cursor !== null || !byId("tooltip").hidden) drawReading(desk, panel);
  });

  function showNumbers(): void {
    showControls(desk);
    drawNumbers(desk, gauge, (arrivals.length * 1000) / RATE_OVER_MS, screen.meter);
  }

  // ---- stream in

  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const url = `${scheme}://${location.host}/v1/stream?serving=${encodeURIComponent(serving)}`;
  const socket: Socket = openSocket(url, {
    onText: (text) => guarded(() => takeText(desk.feed, text)),
    onBinary: (message) => guarded(() => {
      const began = performance.now();
      const happening = takeBinary(desk.feed, message);
      screen.meter.decodeMs = performance.now() - began;
      return happening;
    }),
    onChange: connectionChanged,
  });

  function guarded(take: () => Happening | null): void {
    try {
      const happening = take();
      if (happening !== null) happened(happening);
    } catch (error) {
      if (!(error instanceof ContractError)) throw error;
      disconnected(desk.feed);
      socket.reject(`the stream breaks its contract: ${error.message}`);
    }
  }

  function happened(happening: Happening): void {
    switch (happening.kind) {
      case "configured":
      case "changed":
        return configured(happening);
      case "column":
        lastBinAt = performance.now();
        arrivals.push(lastBinAt);
        follow(desk);
        rescale(desk, desk.feed.ring?.received === 1);
        return screen.invalidate("full");
      case "late":
        return notices.show({ key: "late", level: "info", text: "A bin came too late to have a place and was left out." });
      case "skipped":
        return notices.show({ key: "skipped", level: "warn", text: `The server skipped ${happening.bins} bins, because this page was too slow. They are drawn as a gap.` });
      case "gap":
        return notices.show({ key: "gap", level: "warn", text: `The server no longer holds bins ${happening.from} to ${happening.to}. They stay a gap.` });
      case "error":
        return notices.show({ key: "error", level: "bad", text: `The server reports: ${happening.message}` });
      case "end":
        return socket.end(happening.reason);
    }
  }

  function configured(happening: Extract<Happening, { kind: "configured" | "changed" }>): void {
    const { config } = happening.epoch;
    for (const key of ["connection", "error"]) notices.close(key);
    desk.clock = createClock(config.instrument.time_zone);
    if (happening.fresh) {
      if (!begin(desk, config)) {
        const wanted = config.visualization.default_field;
        notices.show({ key: "field", level: "warn", text: `The serving asks for the field ${wanted}, which the stream does not carry.` });
      }
      buildRows(panel, desk.quantities);
    }
    showConfig(desk, config);
    if (happening.kind === "changed") {
      const from = happening.previous.config.serving.display_name;
      const cleared = happening.fresh ? " Its grid differs, so the history was cleared." : "";
      notices.show({ key: "changed", level: "info", text: `The serving changed: ${from} → ${config.serving.display_name}.${cleared}` });
    } else if (happening.resume !== null) {
      socket.send({ type: "resume", epoch: config.epoch, seq: String(happening.resume) });
    }
    textsAt = -Infinity;
    screen.invalidate("full");
  }

  function connectionChanged(next: Connection): void {
    connection = next;
    if (next.kind !== "open") disconnected(desk.feed);
    if (next.kind === "ended" || next.kind === "refused") notices.close("connection");
    if (next.kind === "waiting") {
      const action = { label: "Retry now", run: () => socket.retryNow() };
      notices.show({ key: "connection", level: "warn", text: `No connection: ${next.reason}. Trying again.`, action });
    } else if (next.kind === "refused") {
      notices.show({ key: "refused", level: "bad", text: `The stream was refused: ${next.reason}. It is not tried again.` });
    } else if (next.kind === "ended") {
      notices.show({ key: "ended", level: "info", text: `The stream has ended: ${next.reason}.` });
    }
    announce(`connection ${next.kind}`, false);
    showConnection(connection, null);
  }

  // ---- input

  function act(action: Action, event?: KeyboardEvent): void {
    action.run(desk, event);
    textsAt = -Infinity;
    screen.invalidate("full");
  }

  wireControls(desk, act, () => screen.invalidate("full"));
  listen(overlay, desk, screen.invalidate);
  byId("pill").addEventListener("click", () => {
    goLive(desk);
    textsAt = -Infinity;
    screen.invalidate("full");
  });
  addEventListener("keydown", (event) => {
    const sheet = byId<HTMLDialogElement>("sheet");
    if (sheet.open) return;
    const action = actionOf(event);
    if (event.key === "?") sheet.showModal();
    else if (event.key === "D" && event.shiftKey) byId("status-meter").hidden = !byId("status-meter").hidden;
    else if (event.key === "Enter" && event.target === overlay) announce(spoken(desk), true);
    else if (action !== undefined) {
      event.preventDefault();
      act(action, event);
    }
  });

  function announce(text: string, isAsked: boolean): void {
    const now = performance.now();
    if (!isAsked && now - announcedAt < ANNOUNCE_EVERY_MS) return;
    announcedAt = now;
    setText(byId("live-region"), text);
  }

  // ---- the page's own clock: staleness and rate, acknowledgement

  setInterval(() => {
    const now = performance.now();
    arrivals = arrivals.filter((at) => now - at <= RATE_OVER_MS);
    const config = configOf(desk);
    const binMs = config === undefined ? 0 : Number(config.bin_ns) / 1e6 / (config.source.speed ?? 1);
    const opened = connection.kind === "open" ? connection.since : now;
    const quiet = now - Math.max(opened, lastBinAt);
    showConnection(connection, quiet > Math.max(3000, 5 * binMs) ? quiet : null);
    // The last frame of a burst may have come too early for scale and texts.
    if (arrivals.length > 0 && rescale(desk, false)) screen.invalidate("full");
    showNumbers();
    drawReading(desk, panel);
  }, TEXT_EVERY_MS);

  setInterval(() => {
    // A bin counts as drawn once the page holds it: a paused or hidden page is not a slow one.
    const seq = currentEpoch(desk.feed)?.lastSeq ?? -1n;
    if (connection.kind !== "open" || seq === ackedSeq || seq < 0n) return;
    ackedSeq = seq;
    socket.send({ type: "ack", seq: String(seq) });
  }, ACK_EVERY_MS);

  installHook(desk, screen.meter, screen.canvas, () => ({ ...connection }));
}

function panelParts(): Panel {
  const head = {
    time: byId("cell-time"), seq: byId("cell-seq"), price: byId("cell-price"),
    fromMid: byId("cell-mid"), state: byId("cell-state"), book: byId("cell-book"),
  };
  return { head, table: byId<HTMLTableSectionElement>("cell-fields"), rows: [] };
}

function gaugeParts(): GaugeParts {
  return {
    number: byId("score"), name: byId("score-name"), meter: byId("meter"), bar: byId("meter-bar"),
    low: byId("score-low"), high: byId("score-high"), spark: byId<HTMLCanvasElement>("spark"),
    warmup: byId("warmup"), warmupText: byId("warmup-text"), warmupBar: byId<HTMLProgressElement>("warmup-bar"),
    others: byId("others"),
  };
}
