import type { CID } from 'multiformats/cid';
import { BadInput } from '../../errors.ts';
import { verifyBlock } from '../../filecoin/block-hash.ts';
import { encodeSectionHead, openCar, type CarSection } from '../../filecoin/car.ts';
import { canonicalCid } from '../../filecoin/cid.ts';
import { FormatError } from '../../filecoin/format-error.ts';
import type { StagedObject } from '../../storage/store.ts';
import { MAX_ROOT_CHARS } from '../seal/batch-tree-reserve.ts';
import { DagTracker, type TrackedSection } from './dag-tracker.ts';
import { checkRunBytes, type ReceiveLimits, type SpaceGuard } from './receive-limits.ts';

/** What one CAR brought: its canonical sections lie in the staged object. */
export interface StagedCar {
  /** As the CAR's header names it: v0 or v1. */
  root: CID;
  /** Length of the canonical sections: first occurrence of each CID, minimal varints, no header. */
  runBytes: number;
  /** Sum of the blocks' own bytes. */
  dagBytes: number;
  blockCount: number;
  /** Undefined when every link of the DAG under the root resolves. */
  missing: { count: number; first: string } | undefined;
  /** The sections in their order; a view of what staging holds in memory. */
  sections(): Iterable<TrackedSection>;
}

interface StageCarInput {
  body: AsyncIterable<Uint8Array>;
  staged: Pick<StagedObject, 'write'>;
  space: Pick<SpaceGuard, 'wrote'>;
  limits: ReceiveLimits;
}

/**
 * Streams a CAR into a staged object block by block, each checked against its CID. Memory: one block, and the CIDs.
 * Throws `BadInput` for whatever is wrong with the CAR.
 */
export async function stageCar(input: StageCarInput): Promise<StagedCar> {
  try {
    return await copySections(input);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new BadInput(error.code, error.message, { cause: error, details: error.details });
  }
}

async function copySections({ body, staged, space, limits }: StageCarInput): Promise<StagedCar> {
  const { roots, sections } = await openCar(body);
  const root = onlyRoot(roots);
  const dag = new DagTracker(limits.maxBlocks);
  const sum = { runBytes: 0, dagBytes: 0, blockCount: 0 };
  for await (const section of sections) {
    const head = encodeSectionHead(section.cid, section.bytes.length);
    if (!admit(dag, section, head.length)) continue;
    sum.runBytes += head.length + section.bytes.length;
    sum.dagBytes += section.bytes.length;
    sum.blockCount += 1;
    checkRunBytes(sum.runBytes, limits);
    await staged.write(head);
    await staged.write(section.bytes);
    await space.wrote(head.length + section.bytes.length);
  }
  if (!dag.holds(root)) {
    throw new BadInput('ROOT_NOT_IN_CAR', `the root ${root} is not among the blocks of the CAR`, {
      details: { root: root.toString() },
    });
  }
  return { root, ...sum, missing: dag.missingBelow(root), sections: () => dag.sections() };
}

function onlyRoot(roots: CID[]): CID {
  const [root] = roots;
  if (root === undefined) throw new BadInput('CAR_NO_ROOT', 'the CAR header names no root: send one CAR with one root');
  if (roots.length > 1) {
    throw new BadInput('CAR_MANY_ROOTS', `the CAR header names ${roots.length} roots: send one upload per root`, {
      details: { roots: roots.length },
    });
  }
  return checkRootLength(root);
}

/** The batch tree reserves room for roots up to this length; only identity CIDs that carry a whole block exceed it. */
function checkRootLength(root: CID): CID {
  if (canonicalCid(root).length <= MAX_ROOT_CHARS) return root;
  throw new BadInput(
    'ROOT_TOO_LONG',
    `the root's CID has more than ${MAX_ROOT_CHARS} characters: use one that is a hash`,
    {
      details: { maxRootChars: MAX_ROOT_CHARS },
    },
  );
}

/** True for the first occurrence of a sound block; what is wrong with a block is told with its CID and place. */
function admit(dag: DagTracker, { cid, bytes, offset }: CarSection, headBytes: number): boolean {
  try {
    verifyBlock(cid, bytes);
    return dag.add(cid, bytes, headBytes + bytes.length);
  } catch (error) {
    if (!(error instanceof FormatError) && !(error instanceof BadInput)) throw error;
    const details = { ...error.details, block: cid.toString(), offset };
    throw new BadInput(error.code, `block ${cid} at byte ${offset}: ${error.message}`, { cause: error, details });
  }
}
