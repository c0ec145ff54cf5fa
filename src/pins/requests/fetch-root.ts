import type { Kysely } from 'kysely';
import { CID } from 'multiformats/cid';
import type { ReceiveInput, Received } from '../../aggregate/receive/receive.ts';
import type { PackBody } from '../../aggregate/receive/stage-car.ts';
import type { DB } from '../../db/tables.ts';
import { BadInput } from '../../errors.ts';
import { formatBytes } from '../../filecoin/units.ts';
import type { BlockSource } from './block-source.ts';
import { DagWalk, type WalkedBlock, type WalkLimits } from './walk-dag.ts';
import { heldAmong, readProgress, type Progress } from './wanted-blocks.ts';

export interface FetchRootDeps {
  kysely: Kysely<DB>;
  /** aggregate/receive/receive.ts, with its dependencies given: what comes is an upload as any other. */
  receive(input: ReceiveInput): Promise<Received>;
  /** Of all that is fetched for one root. */
  maxUploadBytes: bigint;
  /** Told of each part that was kept. */
  onKept?(root: string): Promise<void>;
  limits?: Partial<WalkLimits> & Partial<PartLimits>;
}

export interface FetchRoot {
  root: string;
  /** Whose upload it becomes. */
  owner: string;
  sources: readonly BlockSource[];
  signal: AbortSignal;
}

/** `faults`: what kept the sources from giving all, the last first. */
export type Fetched = { complete: true } | { complete: false; faults: readonly string[] };

/** What a kill may cost: a part is fetched anew that was not kept. */
interface PartLimits {
  partBytes: number;
  partMs: number;
}

const defaultPart: PartLimits = { partBytes: 1024 ** 3, partMs: 60_000 };
/** Each walk of one more brings something, or there is none: this many are a DAG that nobody means. */
const MAX_WALKS = 10_000;

/**
 * Fetches all blocks below a root that are not here, and has them received, part by part. What a part brought stays,
 * whatever happens later, so that another call goes on from there. Throws `BadInput` for what can never be kept.
 */
export async function fetchRoot(deps: FetchRootDeps, given: FetchRoot): Promise<Fetched> {
  for (let walks = 0; walks < MAX_WALKS; walks += 1) {
    const progress = await readProgress(deps.kysely, given.root);
    if (progress.wanted.length === 0) return { complete: true };
    const walk = beginWalk(deps, given, progress);
    const kept = await keepParts(deps, given, { blocks: walk.blocks(), heldBytes: progress.heldBytes });
    if (kept.complete) return { complete: true };
    if (given.signal.aborted || kept.blocks === 0) return { complete: false, faults: walk.faults };
  }
  return { complete: false, faults: [`not all came in ${MAX_WALKS} rounds`] };
}

function beginWalk({ kysely, limits }: FetchRootDeps, { sources, signal }: FetchRoot, progress: Progress): DagWalk {
  const { uploadId, standing, wanted } = progress;
  const isHeld = standing === 'incomplete' && uploadId !== undefined;
  const held = isHeld ? (keys: readonly Buffer[]) => heldAmong(kysely, uploadId, keys) : undefined;
  return new DagWalk(wanted, { sources, signal, heldAmong: held, ...(limits && { limits }) });
}

interface Coming {
  blocks: AsyncGenerator<WalkedBlock>;
  heldBytes: bigint;
}

/** Has the blocks received, as many parts as they take. */
async function keepParts(deps: FetchRootDeps, { root, owner }: FetchRoot, { blocks, heldBytes }: Coming) {
  const limits = { ...defaultPart, ...deps.limits };
  const sum = { blocks: 0, bytes: heldBytes };
  try {
    for (;;) {
      const first = await blocks.next();
      if (first.done === true) return { complete: false, blocks: sum.blocks };
      const part = partOf(first.value, blocks, { sum, limits, maxBytes: deps.maxUploadBytes });
      // What has come is worth keeping whoever stops: the walk ends by its own signal.
      const { signal } = new AbortController();
      const { complete } = await deps.receive({
        ...part,
        pack: part.packUnder(CID.parse(root)),
        owner,
        forPin: true,
        signal,
      });
      await deps.onKept?.(root);
      if (complete) return { complete: true, blocks: sum.blocks };
    }
  } finally {
    await blocks.return(undefined);
  }
}

interface PartRules {
  sum: { blocks: number; bytes: bigint };
  limits: PartLimits;
  maxBytes: bigint;
}

/** The next blocks as a body: its chunks are blocks, whose CIDs are handed on beside it. */
function partOf(first: WalkedBlock, blocks: AsyncGenerator<WalkedBlock>, { sum, limits, maxBytes }: PartRules) {
  const cids: CID[] = [];
  async function* body(): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    const begun = performance.now();
    for (let block: WalkedBlock | undefined = first; block !== undefined; ) {
      bytes += block.bytes.length;
      sum.blocks += 1;
      sum.bytes += BigInt(block.bytes.length);
      if (sum.bytes > maxBytes) throw tooLarge(maxBytes);
      cids.push(block.cid);
      yield block.bytes;
      if (bytes >= limits.partBytes || performance.now() - begun >= limits.partMs) return;
      const next: IteratorResult<WalkedBlock, void> = await blocks.next();
      block = next.done === true ? undefined : next.value;
    }
  }
  const packUnder =
    (root: CID): PackBody =>
    async (chunks, take) => {
      for await (const bytes of chunks) {
        const cid = cids.shift();
        if (cid === undefined) throw new Error('each chunk is a block');
        await take(cid, bytes);
      }
      return root;
    };
  return { body: body(), packUnder };
}

function tooLarge(maxBytes: bigint): BadInput {
  const message = `there is more than the limit of ${formatBytes(maxBytes)} below it: pin it in several parts`;
  return new BadInput('UPLOAD_TOO_LARGE', message, { details: { maxUploadBytes: Number(maxBytes) } });
}
