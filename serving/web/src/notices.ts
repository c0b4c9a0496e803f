// Banners: one per cause, merged with a count, with a way to act and a way to close.

export type Level = "info" | "warn" | "bad";

export interface Notice {
  readonly key: string; // the cause; a new notice of the same cause replaces the old one
  readonly level: Level;
  readonly text: string;
  readonly action?: { readonly label: string; readonly run: () => void };
}

const WORD: Record<Level, string> = { info: "ℹ Note", warn: "⚠ Attention", bad: "✕ Error" };
const AT_MOST = 3;
// What needs no answer makes room again; an error, or a choice to make, stays.
const STAYS_MS: Record<Level, number> = { info: 10_000, warn: 30_000, bad: Infinity };

export interface Notices {
  readonly show: (notice: Notice) => void;
  readonly close: (key: string) => void;
}

export function createNotices(host: HTMLElement): Notices {
  const counts = new Map<string, number>();

  function close(key: string): void {
    counts.delete(key);
    find(key)?.remove();
  }

  function find(key: string): HTMLElement | undefined {
    return [...host.children].find((e) => (e as HTMLElement).dataset["key"] === key) as HTMLElement | undefined;
  }

  function show(notice: Notice): void {
    const count = (counts.get(notice.key) ?? 0) + 1;
    counts.set(notice.key, count);
    const box = document.createElement("div");
    box.className = `notice ${notice.level}`;
    box.dataset["key"] = notice.key;
    box.setAttribute("role", notice.level === "bad" ? "alert" : "status");
    const word = document.createElement("strong");
    word.textContent = WORD[notice.level];
    const text = document.createElement("span");
    text.textContent = count > 1 ? `${notice.text} (${count} times)` : notice.text;
    box.append(word, text);
    if (notice.action !== undefined) box.append(button(notice.action.label, notice.action.run));
    box.append(button("Close", () => close(notice.key)));
    const old = find(notice.key);
    if (old === undefined) host.prepend(box);
    else old.replaceWith(box);
    const stays = notice.action === undefined ? STAYS_MS[notice.level] : Infinity;
    if (stays < Infinity) setTimeout(() => { if (find(notice.key) === box) close(notice.key); }, stays);
    while (host.children.length > AT_MOST) close((host.lastElementChild as HTMLElement).dataset["key"]!);
  }

  return { show, close };
}

function button(label: string, run: () => void): HTMLButtonElement {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = label;
  element.addEventListener("click", run);
  return element;
}
