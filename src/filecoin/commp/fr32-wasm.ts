import { UNIT_BYTES, PADDED_UNIT_BYTES } from './fr32.ts';
import { i32, local, repeat, v128, type Code, type WasmFunction } from './wasm-emitter.ts';

const VECTOR_BYTES = 16;
const VECTORS_PER_ELEMENT = 2;
const VECTORS_PER_UNIT = PADDED_UNIT_BYTES / VECTOR_BYTES;
const WORD_BITS = 64;
const WORD_BYTES = 8;
/** All bits of an element's second half but the top two. */
const ELEMENT_MASK = v128.constant([...Array.from({ length: VECTOR_BYTES - 1 }, () => 0xff), 0x3f]);

const SOURCE = 0;
const TARGET = 1;
const COUNT = 2;

/**
 * The 16 bytes of a unit's output from `at` on. What lies there is payload from the same place on, in 64-bit words that
 * move up by two bits for each element before, with what the words 8 bytes earlier lose at their top.
 */
function paddedVector(vector: number): Code {
  const at = vector * VECTOR_BYTES;
  const element = Math.floor(vector / VECTORS_PER_ELEMENT);
  const shift = 2 * element;
  const words = v128.load(local.get(SOURCE), at);
  if (element === 0) return words;
  const before = v128.load(local.get(SOURCE), at - WORD_BYTES);
  return v128.or(
    v128.shiftLeft64(words, i32.constant(shift)),
    v128.shiftRight64(before, i32.constant(WORD_BITS - shift)),
  );
}

function padUnit(): Code {
  return Array.from({ length: VECTORS_PER_UNIT }, (_, vector) => {
    const isSecondHalf = vector % VECTORS_PER_ELEMENT === 1;
    const padded = paddedVector(vector);
    const value = isSecondHalf ? v128.and(padded, ELEMENT_MASK) : padded;
    return v128.store(local.get(TARGET), value, vector * VECTOR_BYTES);
  }).flat();
}

const advance = (pointer: number, bytes: number): Code =>
  local.set(pointer, i32.add(local.get(pointer), i32.constant(bytes)));

/**
 * `padUnits(source, target, units)`: Fr32 as src/filecoin/commp/fr32.ts has it, 16 bytes at a time. Reads one byte past
 * the last unit, whose bits it drops.
 */
export const padUnitsFunction: WasmFunction = {
  name: 'padUnits',
  parameters: 3,
  body: repeat(COUNT, [...padUnit(), ...advance(SOURCE, UNIT_BYTES), ...advance(TARGET, PADDED_UNIT_BYTES)]),
};

const NODE_BYTES = 32;

/** `maskNodes(nodes, count)`: clears the top two bits of each node, so that it is an element of the 254-bit field. */
export const maskNodesFunction: WasmFunction = {
  name: 'maskNodes',
  parameters: 2,
  body: repeat(1, [
    ...v128.store(local.get(0), v128.and(v128.load(local.get(0), VECTOR_BYTES), ELEMENT_MASK), VECTOR_BYTES),
    ...advance(0, NODE_BYTES),
  ]),
};
