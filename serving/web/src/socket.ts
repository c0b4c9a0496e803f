// The connection: what state it is in, when to try again, and the WebSocket that obeys.
//
// The machine is pure. Ended and refused are final; everything else is tried again with a delay
// that doubles from 0.25 s to 10 s, +-25 %, and starts over once a connection has held.

export type Connection =
  | { readonly kind: "connecting"; readonly attempt: number }
  | { readonly kind: "open"; readonly attempt: number; readonly since: number }
  | { readonly kind: "waiting"; readonly attempt: number; readonly delay: number; readonly reason: string }
  | { readonly kind: "ended"; readonly reason: string }
  | { readonly kind: "refused"; readonly reason: string };

export type ConnectionEvent =
  | { readonly kind: "opened"; readonly now: number }
  | { readonly kind: "ended"; readonly reason: string } // an end frame
  | { readonly kind: "rejected"; readonly reason: string } // a frame against the contract
  | { readonly kind: "closed"; readonly code: number; readonly reason: string; readonly now: number; readonly chance: number }
  | { readonly kind: "retry" };

const FIRST_DELAY = 250;
const LAST_DELAY = 10_000;
const SETTLED = 5_000; // a connection that held this long starts the delays over

const MEANING: Record<number, string> = {
  1000: "closed without an end",
  1001: "the server is going away",
  1006: "connection lost",
  1011: "the producer failed",
  1012: "the server is restarting",
  1013: "the server is busy",
};

// Trying again cannot help: the request, or one of the two programs, is wrong.
const FINAL = new Set([1002, 1003, 1007, 1008, 1009, 1010]);

export function refuses(code: number): boolean {
  return FINAL.has(code) || (code >= 4000 && code < 5000);
}

export function advance(state: Connection, event: ConnectionEvent): Connection {
  if (state.kind === "ended" || state.kind === "refused") return state;
  switch (event.kind) {
    case "opened":
      return { kind: "open", attempt: "attempt" in state ? state.attempt : 0, since: event.now };
    case "ended":
      return { kind: "ended", reason: event.reason };
    case "rejected":
      return { kind: "refused", reason: event.reason };
    case "retry":
      return state.kind === "waiting" ? { kind: "connecting", attempt: state.attempt } : state;
    case "closed": {
      const reason = event.reason || MEANING[event.code] || `closed with code ${event.code}`;
      if (refuses(event.code)) return { kind: "refused", reason };
      if (event.code === 1000) return { kind: "ended", reason };
      const held = state.kind === "open" && event.now - state.since >= SETTLED;
      const attempt = held ? 1 : state.attempt + 1;
      const delay = Math.min(LAST_DELAY, FIRST_DELAY * 2 ** (attempt - 1));
      return { kind: "waiting", attempt, delay: Math.round(delay * (0.75 + 0.5 * event.chance)), reason };
    }
  }
}

export interface Handlers {
  readonly onText: (text: string) => void;
  readonly onBinary: (message: ArrayBuffer) => void;
  readonly onChange: (connection: Connection) => void;
}

export interface Socket {
  readonly send: (message: object) => void;
  readonly end: (reason: string) => void; // an end frame came
  readonly reject: (reason: string) => void; // a frame broke the contract
  readonly retryNow: () => void;
}

export function openSocket(url: string, handlers: Handlers): Socket {
  let state: Connection = { kind: "connecting", attempt: 0 };
  let socket: WebSocket;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function dispatch(event: ConnectionEvent): void {
    const next = advance(state, event);
    if (next === state) return;
    state = next;
    handlers.onChange(state);
    if (state.kind === "waiting") timer = setTimeout(retryNow, state.delay);
    if (state.kind === "connecting") connect();
  }

  function retryNow(): void {
    clearTimeout(timer);
    dispatch({ kind: "retry" });
  }

  function connect(): void {
    const mine = new WebSocket(url);
    mine.binaryType = "arraybuffer";
    mine.onopen = () => dispatch({ kind: "opened", now: performance.now() });
    mine.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      if (mine !== socket || state.kind !== "open") return;
      if (typeof event.data === "string") handlers.onText(event.data);
      else handlers.onBinary(event.data);
    };
    mine.onclose = (event) => {
      if (mine !== socket) return;
      const { code, reason } = event;
      dispatch({ kind: "closed", code, reason, now: performance.now(), chance: Math.random() });
    };
    socket = mine;
  }

  connect();
  // Back on the network, or looked at again: do not sit out the delay.
  addEventListener("online", retryNow);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) retryNow();
  });

  return {
    send: (message) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
    },
    end: (reason) => dispatch({ kind: "ended", reason }),
    reject: (reason) => {
      dispatch({ kind: "rejected", reason });
      // 1002 may not be sent by a page; 4000 is the first code that is free to use.
      socket.close(4000, "frame against the contract");
    },
    retryNow,
  };
}
