// Everything around the chart: title bar, buttons, selects, pill, key sheet, status line.

import type { RuntimeConfig } from "./contract.ts";
import { configOf, isManual, paletteOf, palettesOf, quantityOf, setPalette, setTransform, show, type Desk } from "./desk.ts";
import { durationText } from "./format.ts";
import { ACTIONS, type Action } from "./keys.ts";
import { drawLegend, type LegendParts } from "./legend.ts";
import type { PaletteName } from "./palette.ts";
import { setText } from "./readout.ts";
import { TRANSFORMS, type Transform } from "./scale.ts";
import type { Connection } from "./socket.ts";
import { binsBehind, reduction } from "./view.ts";

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no element ${id}`);
  return element as T;
}

const fieldSelect = (): HTMLSelectElement => byId<HTMLSelectElement>("field");
const paletteSelect = (): HTMLSelectElement => byId<HTMLSelectElement>("palette");
const transformSelect = (): HTMLSelectElement => byId<HTMLSelectElement>("transform");

function fill(select: HTMLSelectElement, names: readonly string[]): void {
  if ([...select.options].map((o) => o.value).join() === names.join()) return;
  select.replaceChildren(...names.map((name) => new Option(name.replaceAll("_", " "), name)));
}

// Buttons and selects do what the keys do.
export function wireControls(desk: Desk, act: (action: Action) => void, changed: () => void): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>("button[data-action]")) {
    const action = ACTIONS.find((a) => a.id === button.dataset["action"]);
    if (action === undefined) throw new Error(`no action ${button.dataset["action"]}`);
    button.title = `${action.label} (${action.keys})`;
    button.addEventListener("click", () => act(action));
  }
  fill(transformSelect(), TRANSFORMS);
  fieldSelect().addEventListener("change", () => { show(desk, fieldSelect().selectedIndex); changed(); });
  paletteSelect().addEventListener("change", () => { setPalette(desk, paletteSelect().value as PaletteName); changed(); });
  transformSelect().addEventListener("change", () => { setTransform(desk, transformSelect().value as Transform); changed(); });
  const sheet = byId<HTMLDialogElement>("sheet");
  byId("help").addEventListener("click", () => sheet.showModal());
  byId("sheet-keys").replaceChildren(...ACTIONS.map((action) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const keys = document.createElement("kbd");
    keys.textContent = action.keys;
    button.append(action.label, keys);
    button.addEventListener("click", () => { sheet.close(); act(action); });
    item.append(button);
    return item;
  }));
}

// What a new configuration changes: identity, provenance, fields.
export function showConfig(desk: Desk, config: RuntimeConfig): void {
  const { instrument, serving, source } = config;
  setText(byId("instrument"), instrument.symbol);
  byId("instrument").title = `${instrument.product_type} · ${instrument.dataset} · ${instrument.currency} × ${instrument.multiplier}`;
  const alias = serving.serving_name === null ? "" : `${serving.serving_name} → `;
  setText(byId("serving"), `${alias}${serving.display_name} · ${serving.serving_id.slice(0, 8)}`);
  byId("serving").title = [
    `serving ${serving.serving_id}`, `model ${config.model_config.model_id}`,
    `experiment ${serving.source.experiment_name || "none"}, run ${serving.source.run_id || "none"}`,
    `promoted ${serving.source.promoted_at_utc}`,
  ].join("\n");
  const verdict = byId("verdict");
  const [mark, level] = { PASS: ["✓", "good"], FAIL: ["✕", "bad"] }[serving.verdict] ?? ["?", "warn"];
  verdict.hidden = false;
  verdict.className = `badge ${level}`;
  setText(verdict, `${mark} gate ${serving.verdict}`);
  verdict.title = `Verdict of the promotion gate: ${serving.verdict}`;
  const speed = source.speed === null ? "max" : `${source.speed}×`;
  byId("source").hidden = false;
  setText(byId("source"), source.kind === "live" ? `◉ live ${source.dt}` : `↺ replay ${source.dt} · ${speed}`);
  setText(byId("status-id"), `epoch ${config.epoch.slice(0, 8)} · state ${config.state_hash.slice(0, 8)}`);
  byId("status-id").title = `epoch ${config.epoch}\nstate ${config.state_hash}`;
  document.title = `${instrument.symbol} · ${serving.serving_name ?? serving.display_name} · qMachina`;
  fill(fieldSelect(), desk.quantities.map((q) => q.name));
}

export function showConnection(connection: Connection, staleFor: number | null): void {
  const [text, level] = words(connection, staleFor);
  const chip = byId("connection");
  chip.className = `badge ${level}`;
  setText(chip, text);
}

function words(connection: Connection, staleFor: number | null): [string, string] {
  switch (connection.kind) {
    case "connecting":
      return [connection.attempt === 0 ? "○ connecting" : `○ connecting, attempt ${connection.attempt + 1}`, ""];
    case "open":
      return staleFor === null ? ["● connected", "good"] : [`◐ stale: no bin for ${durationText(staleFor)}`, "warn"];
    case "waiting":
      return [`↻ reconnecting in ${durationText(connection.delay)}`, "warn"];
    case "ended":
      return ["■ ended", ""];
    case "refused":
      return ["✕ refused", "bad"];
  }
}

const LEGEND = (): LegendParts => ({
  bar: byId<HTMLCanvasElement>("legend"), marks: byId("legend-marks"), note: byId("scale-note"), badge: byId("scale-badge"),
});

// Controls follow the state, whoever changed it.
export function showControls(desk: Desk): void {
  const { view } = desk;
  const pressed = (id: string, on: boolean): void => byId(id).setAttribute("aria-pressed", String(on));
  pressed("pause", view.paused);
  setText(byId("pause"), view.paused ? "Resume" : "Pause");
  pressed("follow-time", view.followTime);
  pressed("follow-price", view.followPrice);
  pressed("profile", desk.showProfile);
  const quantity = quantityOf(desk);
  if (quantity !== undefined) {
    fieldSelect().selectedIndex = desk.shown;
    fill(paletteSelect(), palettesOf(desk));
    paletteSelect().value = paletteOf(desk);
    transformSelect().value = desk.transform;
    drawLegend(LEGEND(), quantity, desk.scale, desk.colours, isManual(desk), reduction(view, desk.size));
  }
  const config = configOf(desk);
  if (config !== undefined) {
    const across = durationText((view.columns * Number(config.bin_ns)) / 1e6);
    setText(byId("span"), `${across} × ${Math.round(view.ticks)} ticks`);
  }
  const behind = binsBehind(view, desk.feed.ring?.head ?? -1, desk.frozen);
  const pill = byId("pill");
  pill.hidden = !view.paused && (view.followTime || behind === 0);
  const bins = `${behind} ${behind === 1 ? "bin" : "bins"} behind`;
  setText(pill, `${view.paused ? "Paused · " : ""}${bins} · go live (L)`);
}
