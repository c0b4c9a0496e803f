// The text frames of the stream and the one parser that lets them in.
//
// The code of docs/wire.md, server to client. Shapes are closed: an unknown, missing or mistyped
// key is an error that names the key, never a default. 64-bit integers arrive as text and stay
// bigint until they are ticks or row numbers.

export class ContractError extends Error {
  override name = "ContractError";
}

type Parser<T> = (value: unknown, path: string) => T;
type Shape = Record<string, Parser<unknown>>;
type Parsed<S extends Shape> = { [K in keyof S]: S[K] extends Parser<infer T> ? T : never };

function reject(path: string, expected: string, found: unknown): never {
  const text = found === undefined ? "nothing" : (JSON.stringify(found) ?? String(found));
  throw new ContractError(`${path}: expected ${expected}, found ${text.slice(0, 80)}`);
}

const text: Parser<string> = (value, path) =>
  typeof value === "string" ? value : reject(path, "text", value);

const flag: Parser<boolean> = (value, path) =>
  typeof value === "boolean" ? value : reject(path, "true or false", value);

const number: Parser<number> = (value, path) =>
  typeof value === "number" && Number.isFinite(value) ? value : reject(path, "a number", value);

const count: Parser<number> = (value, path) =>
  Number.isSafeInteger(value) && (value as number) >= 0
    ? (value as number)
    : reject(path, "a whole number", value);

const int64: Parser<bigint> = (value, path) =>
  typeof value === "string" && /^-?(0|[1-9]\d{0,18})$/.test(value)
    ? BigInt(value)
    : reject(path, "an integer as text", value);

const positive64: Parser<bigint> = (value, path) => {
  const parsed = int64(value, path);
  return parsed > 0n ? parsed : reject(path, "a positive integer as text", value);
};

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// A dictionary whose keys the contract leaves open.
const open: Parser<Record<string, unknown>> = (value, path) =>
  isObject(value) ? value : reject(path, "an object", value);

function nullable<T>(inner: Parser<T>): Parser<T | null> {
  return (value, path) => (value === null ? null : inner(value, path));
}

function list<T>(inner: Parser<T>): Parser<T[]> {
  return (value, path) =>
    Array.isArray(value)
      ? value.map((item, i) => inner(item, `${path}[${i}]`))
      : reject(path, "a list", value);
}

function oneOf<const T extends string | number>(...allowed: T[]): Parser<T> {
  return (value, path) =>
    allowed.includes(value as T) ? (value as T) : reject(path, allowed.join(" or "), value);
}

function closed<S extends Shape>(shape: S): Parser<Parsed<S>> {
  return (value, path) => {
    if (!isObject(value)) reject(path, "an object", value);
    for (const key of Object.keys(value)) {
      if (!Object.hasOwn(shape, key)) throw new ContractError(`${path}: unknown key ${key}`);
    }
    const parsed: Record<string, unknown> = {};
    for (const [key, parse] of Object.entries(shape)) parsed[key] = parse(value[key], `${path}.${key}`);
    return parsed as Parsed<S>;
  };
}

const DTYPES = ["bool", "int8", "int32", "int64", "float32", "float64"] as const;
const ROLES = [
  "grid_index", "force", "velocity", "acceleration", "jerk", "signal", "indicator", "metadata",
] as const;
export const BOOK_STATES = [
  "unsynced", "building", "empty", "one_sided", "valid", "crossed",
] as const;

const field = closed({
  name: text, dtype: oneOf(...DTYPES), role: oneOf(...ROLES), unit: text, meaning: text,
});

const visualization: Parser<Record<string, unknown> & { default_field: string }> = (value, path) => ({
  ...open(value, path),
  default_field: text(open(value, path)["default_field"], `${path}.default_field`),
});

const runtimeConfig = closed({
  type: oneOf("runtime_config"),
  protocol_version: oneOf(1),
  epoch: text,
  stream_format: oneOf("dense_grid"),
  instrument: closed({
    symbol: text, product_type: text, dataset: text, tick_size_int: positive64,
    price_decimals: count, currency: text, multiplier: text, time_zone: text,
  }),
  bin_ns: positive64,
  grid_radius_ticks: count,
  grid_rows: count,
  grid_schema_fields: list(field),
  bin_schema_fields: list(field),
  model_config: closed({ model_id: text, params: open, warmup_bins: count }),
  serving: closed({
    serving_name: nullable(text), serving_id: text, display_name: text, verdict: text,
    source: closed({ run_id: text, experiment_name: text, promoted_at_utc: text }),
  }),
  source: closed({ kind: oneOf("replay", "live"), dt: text, speed: nullable(number) }),
  visualization,
  state_hash: text,
});

const gridUpdate = closed({
  type: oneOf("grid_update"),
  seq: int64, bin_seq: int64, ts_ns: int64, bin_start_ns: int64, bin_end_ns: int64,
  event_id: int64, bin_event_count: count, mid_price: number, mid_x2: int64,
  spot_ref_price_int: int64,
  best_bid_price_int: nullable(int64), best_ask_price_int: nullable(int64),
  best_bid_size: int64, best_ask_size: int64,
  book_valid: flag, spot_valid: flag, book_state: oneOf(...BOOK_STATES),
  values: open,
});

const FRAMES = {
  runtime_config: runtimeConfig,
  grid_update: gridUpdate,
  end: closed({ type: oneOf("end"), reason: text }),
  error: closed({ type: oneOf("error"), message: text }),
  skipped: closed({ type: oneOf("skipped"), from_seq: int64, to_seq: int64, bins: count }),
  gap: closed({ type: oneOf("gap"), from_seq: int64, to_seq: int64 }),
  serving_changed: closed({ type: oneOf("serving_changed"), runtime_config: runtimeConfig }),
} as const;

export type Field = ReturnType<typeof field>;
export type DType = Field["dtype"];
export type RuntimeConfig = ReturnType<typeof runtimeConfig>;
export type GridUpdate = ReturnType<typeof gridUpdate>;
export type Frame = { [K in keyof typeof FRAMES]: ReturnType<(typeof FRAMES)[K]> }[keyof typeof FRAMES];

export function parseFrame(message: string): Frame {
  let value: unknown;
  try {
    value = JSON.parse(message);
  } catch {
    throw new ContractError(`frame is not JSON: ${message.slice(0, 80)}`);
  }
  if (!isObject(value)) reject("frame", "an object", value);
  const type = value["type"];
  if (typeof type !== "string" || !Object.hasOwn(FRAMES, type)) {
    reject("frame.type", Object.keys(FRAMES).join(", "), type);
  }
  const frame: Frame = FRAMES[type as keyof typeof FRAMES](value, type);
  if (frame.type === "runtime_config") checkGeometry(frame);
  if (frame.type === "serving_changed") checkGeometry(frame.runtime_config);
  return frame;
}

// What no single key can tell: the parts must fit each other.
function checkGeometry(config: RuntimeConfig): void {
  if (config.grid_radius_ticks < 1 || config.grid_rows !== 2 * config.grid_radius_ticks + 1) {
    throw new ContractError("runtime_config: grid_rows is not 2 grid_radius_ticks + 1");
  }
  for (const fields of [config.grid_schema_fields, config.bin_schema_fields]) {
    if (new Set(fields.map((f) => f.name)).size !== fields.length) {
      throw new ContractError("runtime_config: a column is named twice");
    }
  }
  const dtypes = new Map<string, DType>(config.grid_schema_fields.map((f) => [f.name, f.dtype]));
  const always = { k: "int32", last_event_id: "int64", pressure_variant: "float32", vacuum_variant: "float32" };
  for (const [name, dtype] of Object.entries(always)) {
    if (dtypes.get(name) !== dtype) throw new ContractError(`runtime_config: grid lacks ${name} ${dtype}`);
  }
}

// The model outputs of a bin as numbers, in the order of bin_schema_fields; flags are 0 and 1.
export function binValues(fields: Field[], values: Record<string, unknown>): Float64Array {
  const shape: Shape = {};
  for (const f of fields) shape[f.name] = f.dtype === "bool" ? flag : f.dtype === "int64" ? int64 : number;
  const parsed = closed(shape)(values, "grid_update.values");
  return Float64Array.from(fields, (f) => Number(parsed[f.name]));
}
