import { i32, local, repeat, v128, type Code, type WasmFunction } from './wasm-emitter.ts';

const LANES = 4;
const VECTOR_BYTES = 16;
const WORD_BYTES = 4;
const PAIR_BYTES = 64;
const NODE_BYTES = 32;
const ROUNDS = 64;
/** Message words live in a ring of this size: each one is made from the sixteen before it. */
const RING = 16;
const STATE_WORDS = 8;

/** The first primes, whose roots are the constants of sha2-256 (FIPS 180-4, 4.2.2 and 5.3.3). */
const PRIMES: readonly number[] = Array.from({ length: 312 }, (_, number) => number).filter(
  (number) =>
    number > 1 && !Array.from({ length: 16 }, (_, at) => at + 2).some((by) => by < number && number % by === 0),
);
/** The first 32 bits of the fraction of a root, by whole numbers alone: the largest r with r^degree <= prime * 2^(32 * degree). */
function rootFraction(prime: number, degree: bigint): number {
  const target = BigInt(prime) << (32n * degree);
  let low = 0n;
  let high = 1n << 40n;
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (middle ** degree <= target) low = middle;
    else high = middle;
  }
  return Number(low & 0xffff_ffffn);
}
const ROUND_CONSTANTS = PRIMES.slice(0, ROUNDS).map((prime) => rootFraction(prime, 3n));
const INITIAL_STATE = PRIMES.slice(0, STATE_WORDS).map((prime) => rootFraction(prime, 2n));

const rotateNumber = (word: number, by: number): number => (word >>> by) | (word << (32 - by));

/** The second block of every 64-byte message is the same padding: one bit, zeros, and the length of 512 bits. */
function paddingConstants(): number[] {
  const words = [0x8000_0000, ...Array.from({ length: 14 }, () => 0), PAIR_BYTES * 8];
  for (let at = RING; at < ROUNDS; at++) {
    const [back2 = 0, back7 = 0, back15 = 0, back16 = 0] = [2, 7, 15, 16].map((back) => words[at - back]);
    const small0 = rotateNumber(back15, 7) ^ rotateNumber(back15, 18) ^ (back15 >>> 3);
    const small1 = rotateNumber(back2, 17) ^ rotateNumber(back2, 19) ^ (back2 >>> 10);
    words.push((small1 + back7 + small0 + back16) >>> 0);
  }
  return words.map((word, at) => (word + (ROUND_CONSTANTS[at] ?? 0)) >>> 0);
}

/** Where the function finds its constants and keeps its message words, in bytes from the start of memory. */
const ROUND_CONSTANTS_AT = 0;
const PADDING_CONSTANTS_AT = ROUND_CONSTANTS_AT + ROUNDS * WORD_BYTES;
const RING_AT = PADDING_CONSTANTS_AT + ROUNDS * WORD_BYTES;
/** What `hashPairs` takes of the memory's start. */
export const SHA256_SCRATCH_BYTES = RING_AT + RING * VECTOR_BYTES;

/** Lays the constants into memory; before the first call of `hashPairs`. */
export function writeSha256Constants(memory: Uint8Array): void {
  const view = new DataView(memory.buffer, memory.byteOffset);
  for (const [at, word] of [...ROUND_CONSTANTS, ...paddingConstants()].entries()) {
    view.setUint32(ROUND_CONSTANTS_AT + at * WORD_BYTES, word, true);
  }
}

const PAIRS = 0;
const NODES = 1;
const GROUPS = 2;
/** The round constants of the current 16 rounds. */
const CONSTANTS = 3;
const LOOPS = 4;
const FIRST_VECTOR = 5;
/** The state words a to h, and what the code below keeps for a moment. */
const A = FIRST_VECTOR;
const SUM = A + STATE_WORDS;
const WORD = SUM + 1;
const SCRATCH = WORD + 1;
/** a ^ b of this round and of the one before, in turn. */
const DIFFERENCES = SCRATCH + LANES;
const VECTORS = DIFFERENCES + 2 - FIRST_VECTOR;

const get = local.get;
const zero = i32.constant(0);
const xor = (...values: readonly Code[]): Code => values.reduce((sum, value) => v128.xor(sum, value));
const add = (...values: readonly Code[]): Code => values.reduce((sum, value) => v128.add32(sum, value));
const rotate = (value: Code, by: number): Code =>
  v128.or(v128.shiftRight32(value, i32.constant(by)), v128.shiftLeft32(value, i32.constant(32 - by)));
/** Three rotations of one local and their sum. */
const bigSigma = (index: number, [first, second, third]: readonly [number, number, number]): Code =>
  xor(rotate(get(index), first), rotate(get(index), second), rotate(get(index), third));
const smallSigma = (index: number, [first, second, shift]: readonly [number, number, number]): Code =>
  xor(rotate(get(index), first), rotate(get(index), second), v128.shiftRight32(get(index), i32.constant(shift)));

const ringSlot = (word: number): number => RING_AT + (word % RING) * VECTOR_BYTES;
const loadWord = (word: number): Code => v128.load(zero, ringSlot(word));

/** The message word 16 after `word`, into its slot (FIPS 180-4, 6.2.2, step 1). */
function scheduleWord(word: number): Code {
  return [
    ...local.set(WORD, loadWord(word + 1)),
    ...local.set(SUM, add(smallSigma(WORD, [7, 18, 3]), loadWord(word), loadWord(word + 9))),
    ...local.set(WORD, loadWord(word + 14)),
    ...v128.store(zero, add(get(SUM), smallSigma(WORD, [17, 19, 10])), ringSlot(word)),
  ];
}

/**
 * One round (step 3) on the locals a to h, which change their names from round to round instead of moving. `input` is
 * word + constant. The majority of a, b and c takes b ^ c from the round before, in which it was a ^ b.
 */
function roundOf(round: number, input: Code): Code {
  const named = (at: number): number => A + ((at - round + 2 * STATE_WORDS) % STATE_WORDS);
  const [a, b, d, e, f, g, h] = [named(0), named(1), named(3), named(4), named(5), named(6), named(7)];
  const [difference, differenceBefore] = [DIFFERENCES + (round % 2), DIFFERENCES + ((round + 1) % 2)];
  const choice = xor(get(g), v128.and(get(e), xor(get(f), get(g))));
  const majority = xor(get(b), v128.and(local.tee(difference, xor(get(a), get(b))), get(differenceBefore)));
  return [
    ...local.set(SUM, add(get(h), input, choice, bigSigma(e, [6, 11, 25]))),
    ...local.set(d, add(get(d), get(SUM))),
    ...local.set(h, add(get(SUM), bigSigma(a, [2, 13, 22]), majority)),
  ];
}

/** Before the first round of a block: b ^ c, as if a round had left it. */
const startDifferences = local.set(DIFFERENCES + 1, xor(get(A + 1), get(A + 2)));

/** Sixteen rounds, after which all locals have their first names again; `after` follows each one. */
function sixteenRounds(input: (round: number) => Code, after: (round: number) => Code = () => []): Code {
  return Array.from({ length: RING }, (_, round) => [...roundOf(round, input(round)), ...after(round)]).flat();
}

const constantOf = (round: number): Code => v128.loadSplat32(get(CONSTANTS), round * WORD_BYTES);
const nextConstants = local.set(CONSTANTS, i32.add(get(CONSTANTS), i32.constant(RING * WORD_BYTES)));

function messageBlock(): Code {
  const rounds = (after?: (round: number) => Code): Code =>
    sixteenRounds((round) => add(loadWord(round), constantOf(round)), after);
  return [
    ...local.set(CONSTANTS, i32.constant(ROUND_CONSTANTS_AT)),
    ...local.set(LOOPS, i32.constant(ROUNDS / RING - 1)),
    ...repeat(LOOPS, [...rounds(scheduleWord), ...nextConstants]),
    ...rounds(),
  ];
}

function paddingBlock(): Code {
  return [
    ...local.set(CONSTANTS, i32.constant(PADDING_CONSTANTS_AT)),
    ...local.set(LOOPS, i32.constant(ROUNDS / RING)),
    ...repeat(LOOPS, [...sixteenRounds(constantOf), ...nextConstants]),
  ];
}

const eachState = (make: (at: number) => Code): Code => Array.from({ length: STATE_WORDS }, (_, at) => make(at)).flat();
const initialWord = (at: number): Code => v128.splat32(i32.constant(INITIAL_STATE[at] ?? 0));

const SWAP_BYTES = Array.from({ length: VECTOR_BYTES }, (_, at) => at ^ 3);
const swapped = (value: Code): Code => v128.shuffle(value, value, SWAP_BYTES);
/** The bytes of the given 32-bit lanes of two vectors, counted from 0 to 7. */
const lanes = (...words: readonly number[]): number[] =>
  words.flatMap((word) => [0, 1, 2, 3].map((byte) => word * WORD_BYTES + byte));

/** Turns a square of four vectors given as expressions into its columns; `put` takes each of them. */
function transpose(rows: readonly Code[], put: (column: number, value: Code) => Code): Code {
  const [first = [], second = [], third = [], fourth = []] = rows;
  const low = lanes(0, 4, 1, 5);
  const high = lanes(2, 6, 3, 7);
  const at = (index: number): Code => get(SCRATCH + index);
  return [
    ...local.set(SCRATCH, v128.shuffle(first, second, low)),
    ...local.set(SCRATCH + 1, v128.shuffle(third, fourth, low)),
    ...local.set(SCRATCH + 2, v128.shuffle(first, second, high)),
    ...local.set(SCRATCH + 3, v128.shuffle(third, fourth, high)),
    ...put(0, v128.shuffle(at(0), at(1), lanes(0, 1, 4, 5))),
    ...put(1, v128.shuffle(at(0), at(1), lanes(2, 3, 6, 7))),
    ...put(2, v128.shuffle(at(2), at(3), lanes(0, 1, 4, 5))),
    ...put(3, v128.shuffle(at(2), at(3), lanes(2, 3, 6, 7))),
  ];
}

/** Four messages of sixteen big-endian words become sixteen vectors of one word of each. */
function loadMessages(): Code {
  return [0, 4, 8, 12].flatMap((firstWord) => {
    const rows = [0, 1, 2, 3].map((lane) => v128.load(get(PAIRS), lane * PAIR_BYTES + firstWord * WORD_BYTES));
    return [...transpose(rows, (column, value) => v128.store(zero, swapped(value), ringSlot(firstWord + column)))];
  });
}

function storeNodes(): Code {
  return [0, 4].flatMap((firstWord) => {
    const rows = [0, 1, 2, 3].map((word) => get(A + firstWord + word));
    return [
      ...transpose(rows, (lane, value) =>
        v128.store(get(NODES), swapped(value), lane * NODE_BYTES + firstWord * WORD_BYTES),
      ),
    ];
  });
}

const advance = (pointer: number, bytes: number): Code =>
  local.set(pointer, i32.add(get(pointer), i32.constant(bytes)));

/** The state between the two blocks is kept in the ring, which the second block does not need. */
function hashFourPairs(): Code {
  return [
    ...loadMessages(),
    ...eachState((at) => local.set(A + at, initialWord(at))),
    ...startDifferences,
    ...messageBlock(),
    ...eachState((at) => v128.store(zero, local.tee(A + at, add(get(A + at), initialWord(at))), ringSlot(at))),
    ...startDifferences,
    ...paddingBlock(),
    ...eachState((at) => local.set(A + at, add(get(A + at), loadWord(at)))),
    ...storeNodes(),
  ];
}

/** `hashPairs(pairs, nodes, groups)`: sha2-256 of each 64 bytes, four messages side by side in the lanes of a vector. */
export const hashPairsFunction: WasmFunction = {
  name: 'hashPairs',
  parameters: 3,
  i32Locals: 2,
  v128Locals: VECTORS,
  body: repeat(GROUPS, [
    ...hashFourPairs(),
    ...advance(PAIRS, LANES * PAIR_BYTES),
    ...advance(NODES, LANES * NODE_BYTES),
  ]),
};
/** `hashPairs` takes pairs by so many. */
export const PAIRS_PER_GROUP = LANES;
