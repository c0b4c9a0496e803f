// The binary message: one Arrow IPC stream of 2K+1 rows, checked against the announced columns.

import { DataType, Precision, tableFromIPC, type Vector } from "apache-arrow";
import { ContractError, type DType, type RuntimeConfig } from "./contract.ts";

export type Numbers = Float32Array | Float64Array | Int8Array | Int32Array | Uint8Array;

function dtypeOf(type: DataType): DType | string {
  if (DataType.isBool(type)) return "bool";
  if (DataType.isInt(type) && type.isSigned) return `int${type.bitWidth}`;
  if (DataType.isFloat(type)) {
    return { [Precision.HALF]: "float16", [Precision.SINGLE]: "float32", [Precision.DOUBLE]: "float64" }[
      type.precision
    ];
  }
  return String(type);
}

function numbersOf(vector: Vector, dtype: DType): Numbers {
  if (dtype === "bool") return Uint8Array.from({ length: vector.length }, (_, i) => (vector.get(i) ? 1 : 0));
  const raw = vector.toArray() as Numbers | BigInt64Array;
  // Sizes and event numbers stay far below 2^53, where doubles are exact.
  return raw instanceof BigInt64Array ? Float64Array.from(raw, Number) : raw;
}

// Columns in the order of grid_schema_fields; they are views into the message, copy to keep.
export function decodeGrid(message: ArrayBuffer, config: RuntimeConfig): Numbers[] {
  let table;
  try {
    table = tableFromIPC(new Uint8Array(message));
  } catch (error) {
    throw new ContractError(`binary message is not an Arrow stream: ${String(error)}`);
  }
  const fields = config.grid_schema_fields;
  const found = table.schema.fields.map((f) => `${f.name} ${dtypeOf(f.type)}`);
  const expected = fields.map((f) => `${f.name} ${f.dtype}`);
  if (found.join() !== expected.join()) {
    throw new ContractError(`binary message has columns ${found.join(", ")}, announced were ${expected.join(", ")}`);
  }
  if (table.numRows !== config.grid_rows) {
    throw new ContractError(`binary message has ${table.numRows} rows, expected ${config.grid_rows}`);
  }
  const columns = fields.map((f, i) => {
    const vector = table.getChildAt(i);
    if (vector === null || vector.nullCount > 0) throw new ContractError(`column ${f.name} has nulls`);
    return numbersOf(vector, f.dtype);
  });
  const k = columns[fields.findIndex((f) => f.name === "k")];
  for (let row = 0; row < config.grid_rows; row++) {
    if (k?.[row] !== row - config.grid_radius_ticks) throw new ContractError("rows are not k = -K..+K in order");
  }
  return columns;
}
