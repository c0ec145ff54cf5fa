/**
 * As much of the WebAssembly binary format (specification, chapter 5) as our kernels need: modules of exported functions
 * over one imported memory, in which expressions are byte sequences that concatenate. Types are i32 and v128 alone.
 */
export type Code = readonly number[];

const I32 = 0x7f;
const V128 = 0x7b;
const SECTION = { type: 1, import: 2, function: 3, export: 7, code: 10 };
const FUNCTION_TYPE = 0x60;
const MEMORY_IMPORT = 0x02;
/** A block that leaves nothing on the stack. */
const EMPTY_TYPE = 0x40;
const END = 0x0b;
const SIMD_PREFIX = 0xfd;

/** An unsigned number in LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}

/** A signed 32-bit number in LEB128. */
function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (; rest < -64 || rest > 63; rest >>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest & 0x7f];
}

/** Counted lists of items, and byte strings of known length, begin with their count. */
function counted(items: readonly Code[]): number[] {
  return [...unsigned(items.length), ...items.flat()];
}

function sized(code: Code): number[] {
  return [...unsigned(code.length), ...code];
}

const simd = (operation: number): number[] => [SIMD_PREFIX, ...unsigned(operation)];
const unary =
  (operation: Code) =>
  (value: Code): Code => [...value, ...operation];
const binary =
  (operation: Code) =>
  (left: Code, right: Code): Code => [...left, ...right, ...operation];
/** Reads at `address` plus a constant offset. The alignment is a hint: 0 promises nothing. */
const load =
  (operation: Code) =>
  (address: Code, offset = 0): Code => [...address, ...operation, 0, ...unsigned(offset)];

export const i32 = {
  constant: (value: number): Code => [0x41, ...signed(value)],
  add: binary([0x6a]),
};

/** Operations on 128 bits; i32 and i64 are what their lanes are taken for. Shifts are by one i32 for all lanes. */
export const v128 = {
  constant: (bytes: Code): Code => [...simd(0x0c), ...bytes],
  load: load(simd(0x00)),
  /** Four times the 32 bits at the address. */
  loadSplat32: load(simd(0x09)),
  store: (address: Code, value: Code, offset = 0): Code => [
    ...address,
    ...value,
    ...simd(0x0b),
    0,
    ...unsigned(offset),
  ],
  /** Picks 16 bytes of the 32 of both, by index. */
  shuffle: (left: Code, right: Code, lanes: Code): Code => [...left, ...right, ...simd(0x0d), ...lanes],
  and: binary(simd(0x4e)),
  or: binary(simd(0x50)),
  xor: binary(simd(0x51)),
  splat32: unary(simd(0x11)),
  add32: binary(simd(0xae)),
  shiftLeft32: binary(simd(0xab)),
  shiftRight32: binary(simd(0xad)),
  shiftLeft64: binary(simd(0xcb)),
  shiftRight64: binary(simd(0xcd)),
};

export const local = {
  get: (index: number): Code => [0x20, ...unsigned(index)],
  set: (index: number, value: Code): Code => [...value, 0x21, ...unsigned(index)],
  /** Sets it, and is the value as well. */
  tee: (index: number, value: Code): Code => [...value, 0x22, ...unsigned(index)],
};

/** Runs `body` `count` times, or not at all; `count` is the local that counts down, an i32. */
export function repeat(count: number, body: Code): Code {
  const leave = [0x45, 0x0d, ...unsigned(1)];
  const countDown = [...local.get(count), ...i32.constant(1), 0x6b, 0x21, ...unsigned(count)];
  const again = [0x0c, ...unsigned(0)];
  const loop = [0x03, EMPTY_TYPE, ...local.get(count), ...leave, ...body, ...countDown, ...again, END];
  return [0x02, EMPTY_TYPE, ...loop, END];
}

/** A function without result; its locals are the parameters (i32), then `i32Locals`, then `v128Locals`. */
export interface WasmFunction {
  name: string;
  parameters: number;
  i32Locals?: number;
  v128Locals?: number;
  body: Code;
}

function section(id: number, items: readonly Code[]): number[] {
  return [id, ...sized(counted(items))];
}

function text(value: string): number[] {
  return sized([...new TextEncoder().encode(value)]);
}

function signature({ parameters }: WasmFunction): Code {
  return [FUNCTION_TYPE, ...counted(Array.from({ length: parameters }, () => [I32])), 0];
}

function functionBody({ i32Locals = 0, v128Locals = 0, body }: WasmFunction): Code {
  const locals = counted([
    [...unsigned(i32Locals), I32],
    [...unsigned(v128Locals), V128],
  ]);
  return sized([...locals, ...body, END]);
}

/** The bytes of a module that imports `env.memory`, of at least `pages` of 64 KiB, and exports the functions. */
export function encodeModule(functions: readonly WasmFunction[], pages: number): Uint8Array<ArrayBuffer> {
  const magicAndVersion = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const memory = [...text('env'), ...text('memory'), MEMORY_IMPORT, 0, ...unsigned(pages)];
  return Uint8Array.from([
    ...magicAndVersion,
    ...section(SECTION.type, functions.map(signature)),
    ...section(SECTION.import, [memory]),
    ...section(
      SECTION.function,
      functions.map((_, index) => unsigned(index)),
    ),
    ...section(
      SECTION.export,
      functions.map(({ name }, index) => [...text(name), 0, ...unsigned(index)]),
    ),
    ...section(SECTION.code, functions.map(functionBody)),
  ]);
}
