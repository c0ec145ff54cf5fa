import { LadingError } from '../../../errors.ts';
import { SubtreeStack, zeroRoot } from '../../../filecoin/commp/tree.ts';
import type { NodePlace } from '../../../filecoin/inclusion-path.ts';
import { machineHashPairs } from '../../../hashing/commp-engine.ts';
import type { SubtreeRoot } from '../../bytes/prove.ts';
import type { VirtualCar } from '../../bytes/virtual-car.ts';
import { chunkLevel } from '../../seal/chunks.ts';
import { growTree, nodeAt, type ChunkTree } from './chunk-tree.ts';

/** A run needs the chunk in which it begins and the one in which it ends; the next one begins where it ended. */
const KEPT_CHUNKS = 2;

interface EdgeOptions {
  car: VirtualCar;
  /** 127 times a power of two. */
  chunkBytes: number;
  /** Roots of chunks that are known already. */
  known: ReadonlyMap<number, Uint8Array>;
  signal: AbortSignal;
}

/**
 * The bytes and nodes of a CAR for whoever proves its runs in their order: each chunk at the edge of a run is read and
 * hashed once, however many runs it has. Memory: two chunks with their nodes, some 100 MiB.
 */
export class EdgeChunks implements VirtualCar {
  readonly carBytes: number;
  readonly #options: EdgeOptions;
  readonly #height: number;
  readonly #count: number;
  /** Nodes from the height of a chunk up, by place: two a chunk. */
  readonly #nodes = new Map<string, Uint8Array>();
  /** The last ones used, the latest at the end. */
  #trees: { index: number; tree: ChunkTree }[] = [];

  constructor(options: EdgeOptions) {
    this.#options = options;
    this.carBytes = options.car.carBytes;
    this.#height = chunkLevel(options.chunkBytes);
    this.#count = Math.ceil(this.carBytes / options.chunkBytes);
    // PostgreSQL's driver gives Buffers, which are not what a proof is made of.
    for (const [index, root] of options.known)
      this.#nodes.set(keyOf({ level: this.#height, index }), new Uint8Array(root));
  }

  async *readRange(start: number, end: number): AsyncGenerator<Uint8Array> {
    const { chunkBytes } = this.#options;
    for (let at = start; at < end; ) {
      const index = Math.floor(at / chunkBytes);
      const { payload } = await this.#tree(index);
      const to = Math.min(end, (index + 1) * chunkBytes);
      yield payload.slice(at - index * chunkBytes, to - index * chunkBytes);
      at = to;
    }
  }

  /** As prove.ts asks for it. */
  readonly subtreeRoot: SubtreeRoot = async (place) => {
    const { level, index } = place;
    if (level >= this.#height) return this.#upper(place);
    const width = 2 ** (this.#height - level);
    const chunk = Math.floor(index / width);
    return chunk >= this.#count ? zeroRoot(level) : nodeAt(await this.#tree(chunk), level, index % width);
  };

  async #upper(place: NodePlace): Promise<Uint8Array> {
    const kept = this.#nodes.get(keyOf(place));
    if (kept !== undefined) return kept;
    const { level, index } = place;
    if (index * 2 ** (level - this.#height) >= this.#count) return zeroRoot(level);
    const node = level === this.#height ? await this.#chunkRoot(index) : await this.#join(place);
    this.#nodes.set(keyOf(place), node);
    return node;
  }

  async #join({ level, index }: NodePlace): Promise<Uint8Array> {
    const stack = new SubtreeStack(machineHashPairs());
    for (const child of [index * 2, index * 2 + 1]) {
      stack.push({ level: level - 1, root: await this.#upper({ level: level - 1, index: child }) });
    }
    return stack.rootAt(level);
  }

  async #chunkRoot(index: number): Promise<Uint8Array> {
    return nodeAt(await this.#tree(index), this.#height, 0);
  }

  async #tree(index: number): Promise<ChunkTree> {
    const kept = this.#trees.find((one) => one.index === index);
    this.#trees = this.#trees.filter((one) => one.index !== index);
    // The oldest goes before the next one is read, so that there are never three.
    if (kept === undefined) this.#trees = this.#trees.slice(-(KEPT_CHUNKS - 1));
    const tree = kept?.tree ?? (await this.#grow(index));
    this.#trees.push({ index, tree });
    return tree;
  }

  async #grow(index: number): Promise<ChunkTree> {
    const { car, chunkBytes, signal, known } = this.#options;
    const payload = new Uint8Array(chunkBytes);
    let filled = 0;
    const start = index * chunkBytes;
    for await (const bytes of car.readRange(start, Math.min(start + chunkBytes, this.carBytes), signal)) {
      payload.set(bytes, filled);
      filled += bytes.length;
    }
    const tree = await growTree(payload, machineHashPairs());
    const [expected, found] = [known.get(index), nodeAt(tree, this.#height, 0)];
    if (expected !== undefined && Buffer.compare(expected, found) !== 0) throw damaged(index);
    return tree;
  }
}

function keyOf({ level, index }: NodePlace): string {
  return `${level}:${index}`;
}

function damaged(chunk: number): LadingError {
  const message = `the stored bytes of chunk ${chunk} are not those that were hashed when it was sealed`;
  return new LadingError('PIECE_DAMAGED', message, { details: { chunk } });
}
