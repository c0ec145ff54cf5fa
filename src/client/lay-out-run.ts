import type { CID } from 'multiformats/cid';
import { encodeSectionHead } from '../filecoin/car.ts';
import { canonicalCid, parseCid } from '../filecoin/cid.ts';
import { FormatError } from '../filecoin/format-error.ts';
import type { CarBlock } from './read-car.ts';

/** What became of the blocks that were given. */
export interface LaidOut {
  /** Blocks of the run. */
  blockCount: number;
  /** Blocks that were given and are not of the run. */
  otherBlocks: number;
  hasRoot: boolean;
}

export interface RunLayout {
  blocks: AsyncIterable<CarBlock> | Iterable<CarBlock>;
  /** The upload's root, CIDv1 in base32. */
  root: string;
  /** The CIDs of the run in order; undefined: the blocks come in its order. */
  order: readonly string[] | undefined;
  /** Takes the bytes of the run, piece by piece. */
  write(bytes: Uint8Array): void;
}

/** Blocks that come earlier than the run has them wait in memory: more than this is better sorted beforehand. */
const MAX_WAITING_BYTES = 1024 * 1024 * 1024;

/**
 * Lays blocks out as the service stores them: CAR sections with lengths in their shortest form, each CID once.
 * Throws FormatError BLOCK_MISSING or BLOCKS_OUT_OF_ORDER.
 */
export async function layOutRun(layout: RunLayout): Promise<LaidOut> {
  return layout.order === undefined ? asTheyCome(layout) : inOrder(layout, layout.order);
}

function writeSection({ write }: RunLayout, cid: CID, bytes: Uint8Array): void {
  write(encodeSectionHead(cid, bytes.length));
  write(bytes);
}

async function asTheyCome(layout: RunLayout): Promise<LaidOut> {
  const seen = new Set<string>();
  let hasRoot = false;
  for await (const { cid, bytes } of layout.blocks) {
    const key = cid.toString();
    if (seen.has(key)) continue;
    seen.add(key);
    hasRoot ||= canonicalCid(cid) === layout.root;
    writeSection(layout, cid, bytes);
  }
  return { blockCount: seen.size, otherBlocks: 0, hasRoot };
}

/** CIDv0 and v1 name one block, which the run has as its list spells it. */
async function inOrder(layout: RunLayout, order: readonly string[]): Promise<LaidOut> {
  const cids = order.map((text) => parseCid(text));
  const keys = cids.map(canonicalCid);
  const waiting = new WaitingBlocks(keys);
  const others = new Set<string>();
  let next = 0;
  for await (const { cid, bytes } of layout.blocks) {
    const key = canonicalCid(cid);
    if (!waiting.offer(key, bytes)) others.add(key);
    for (let at = keys[next]; at !== undefined; at = keys[next]) {
      const found = waiting.take(at);
      if (found === undefined) break;
      const spelled = cids[next];
      if (spelled !== undefined) writeSection(layout, spelled, found);
      next += 1;
    }
  }
  const missing = order[next];
  if (missing !== undefined) {
    throw new FormatError('BLOCK_MISSING', `the CAR lacks block ${missing}, which the proof covers`, { cid: missing });
  }
  return { blockCount: order.length, otherBlocks: others.size, hasRoot: keys.includes(layout.root) };
}

/** Blocks between their coming and their place in the run. */
class WaitingBlocks {
  /** How often each is still wanted. */
  readonly #wanted = new Map<string, number>();
  readonly #held = new Map<string, Uint8Array>();
  #heldBytes = 0;

  constructor(keys: readonly string[]) {
    for (const key of keys) this.#wanted.set(key, (this.#wanted.get(key) ?? 0) + 1);
  }

  /** False for a block that the run does not have at all. */
  offer(key: string, bytes: Uint8Array): boolean {
    const wanted = this.#wanted.get(key);
    if (wanted === undefined) return false;
    if (wanted === 0 || this.#held.has(key)) return true;
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > MAX_WAITING_BYTES) {
      const message = `the order of the CAR differs so much that more than ${MAX_WAITING_BYTES} bytes would wait in memory`;
      throw new FormatError('BLOCKS_OUT_OF_ORDER', message);
    }
    this.#held.set(key, bytes);
    return true;
  }

  take(key: string): Uint8Array | undefined {
    const bytes = this.#held.get(key);
    if (bytes === undefined) return undefined;
    const wanted = (this.#wanted.get(key) ?? 1) - 1;
    this.#wanted.set(key, wanted);
    if (wanted === 0) {
      this.#held.delete(key);
      this.#heldBytes -= bytes.length;
    }
    return bytes;
  }
}
