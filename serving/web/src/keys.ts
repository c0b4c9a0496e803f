// The table of actions. Keys, buttons and the help sheet are all made from it.

import * as desk from "./desk.ts";
import type { Desk } from "./desk.ts";

export interface Action {
  readonly id: string;
  readonly keys: string; // as printed
  readonly label: string;
  readonly matches: (event: KeyboardEvent) => boolean;
  readonly run: (state: Desk, event?: KeyboardEvent) => void;
}

const ZOOM = 1.25;

const key = (...names: string[]) => (e: KeyboardEvent): boolean => names.includes(e.key);
const letter = (name: string) => (e: KeyboardEvent): boolean => e.key.toLowerCase() === name && !e.shiftKey;
const plus = (e: KeyboardEvent): boolean => e.code === "Equal" || e.code === "NumpadAdd" || e.key === "+";
const minus = (e: KeyboardEvent): boolean => e.code === "Minus" || e.code === "NumpadSubtract" || e.key === "-";
const reach = (e: KeyboardEvent | undefined): number => (e?.shiftKey ? 10 : 1);

export const ACTIONS: readonly Action[] = [
  { id: "pause", keys: "Space", label: "Pause or resume the view", matches: key(" "), run: (s) => desk.setPaused(s, !s.view.paused) },
  { id: "live", keys: "L, End", label: "Go live", matches: (e) => letter("l")(e) || e.key === "End", run: desk.goLive },
  { id: "oldest", keys: "Home", label: "Go to the oldest bin", matches: key("Home"), run: desk.goOldest },
  { id: "follow-time", keys: "J", label: "Follow time", matches: letter("j"), run: (s) => desk.setFollowTime(s, !s.view.followTime) },
  { id: "follow-price", keys: "F", label: "Follow price", matches: letter("f"), run: (s) => desk.setFollowPrice(s, !s.view.followPrice) },
  { id: "time-in", keys: "+", label: "Zoom time in", matches: (e) => plus(e) && !e.shiftKey, run: (s) => desk.zoomTimeBy(s, 1 / ZOOM) },
  { id: "time-out", keys: "−", label: "Zoom time out", matches: (e) => minus(e) && !e.shiftKey, run: (s) => desk.zoomTimeBy(s, ZOOM) },
  { id: "price-in", keys: "Shift +", label: "Zoom price in", matches: (e) => plus(e) && e.shiftKey, run: (s) => desk.zoomPriceBy(s, 1 / ZOOM) },
  { id: "price-out", keys: "Shift −", label: "Zoom price out", matches: (e) => minus(e) && e.shiftKey, run: (s) => desk.zoomPriceBy(s, ZOOM) },
  { id: "reset", keys: "0", label: "Reset view and scale", matches: key("0"), run: desk.reset },
  { id: "left", keys: "←", label: "Cursor one bin back (Shift: ten)", matches: key("ArrowLeft"), run: (s, e) => desk.moveCursor(s, -reach(e), 0) },
  { id: "right", keys: "→", label: "Cursor one bin on (Shift: ten)", matches: key("ArrowRight"), run: (s, e) => desk.moveCursor(s, reach(e), 0) },
  { id: "up", keys: "↑", label: "Cursor one tick up (Shift: ten)", matches: key("ArrowUp"), run: (s, e) => desk.moveCursor(s, 0, reach(e)) },
  { id: "down", keys: "↓", label: "Cursor one tick down (Shift: ten)", matches: key("ArrowDown"), run: (s, e) => desk.moveCursor(s, 0, -reach(e)) },
  { id: "lower-down", keys: "[", label: "Lower cut-off down", matches: key("["), run: (s) => desk.moveLimit(s, "lo", false) },
  { id: "lower-up", keys: "]", label: "Lower cut-off up", matches: key("]"), run: (s) => desk.moveLimit(s, "lo", true) },
  { id: "upper-down", keys: "{", label: "Upper cut-off down", matches: key("{"), run: (s) => desk.moveLimit(s, "hi", false) },
  { id: "upper-up", keys: "}", label: "Upper cut-off up", matches: key("}"), run: (s) => desk.moveLimit(s, "hi", true) },
  { id: "auto", keys: "A", label: "Automatic scale", matches: letter("a"), run: desk.automaticScale },
  { id: "palette", keys: "K", label: "Next colour map", matches: letter("k"), run: desk.nextPalette },
  { id: "transform", keys: "T", label: "Next transform", matches: letter("t"), run: desk.nextTransform },
  { id: "profile", keys: "P", label: "Profile of the newest bin", matches: letter("p"), run: (s) => { s.showProfile = !s.showProfile; } },
  { id: "field-next", keys: "1 – 9", label: "Choose a field (here: the next one)", matches: (e) => /^[1-9]$/.test(e.key), run: chooseField },
  { id: "unpin", keys: "Esc", label: "Unpin the read-out, close this sheet", matches: key("Escape"), run: (s) => { s.isPinned = false; s.cursor = null; } },
];

function chooseField(state: Desk, event?: KeyboardEvent): void {
  const index = event === undefined ? (state.shown + 1) % Math.max(1, state.quantities.length) : Number(event.key) - 1;
  desk.show(state, index);
}

// The action of a key press; none while typing or while the browser has its own use for it.
export function actionOf(event: KeyboardEvent): Action | undefined {
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  const target = event.target as { tagName?: string } | null;
  const tag = target?.tagName ?? "";
  if (["INPUT", "SELECT", "TEXTAREA"].includes(tag)) return undefined;
  if (tag === "BUTTON" && (event.key === " " || event.key === "Enter")) return undefined;
  return ACTIONS.find((action) => action.matches(event));
}
