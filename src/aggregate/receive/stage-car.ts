import type { CID } from 'multiformats/cid';
import { BadInput } from '../../errors.ts';
import { verifyBlock } from '../../filecoin/block-hash.ts';
import { defaultCarLimits, encodeSectionHead, openCar, type CarSection } from '../../filecoin/car.ts';
import { canonicalCid } from '../../filecoin/cid.ts';
import { FormatError } from '../../filecoin/format-error.ts';
import type { StagedObject } from '../../storage/store.ts';
import { MAX_ROOT_CHARS } from '../seal/batch-tree-reserve.ts';
import type { ReceiveLimits, SpaceGuard } from './receive-limits.ts';
import { UploadDag, type DagFacts } from './upload-dag.ts';

/** What one CAR brought: its canonical sections lie in the staged object. */
export interface StagedCar extends DagFacts {
  /** As the CAR's header names it: v0 or v1. */
  root: CID;
  /** Gives back what `sections` stands on. */
  close(): Promise<void>;
}

/**
 * Makes blocks of a body, and hands each over with its own hash, waiting until it is taken; answers the root, which is one
 * of them. A chunk of the body is done with when the next one is asked for.
 */
export type PackBody = (
  body: AsyncIterable<Uint8Array>,
  take: (cid: CID, bytes: Uint8Array) => Promise<void>,
) => Promise<CID>;

interface StageCarInput {
  body: AsyncIterable<Uint8Array>;
  /** Without it the body is a CAR. */
  pack?: PackBody | undefined;
  /** What the root of a CAR has to be. */
  root?: string | undefined;
  staged: Pick<StagedObject, 'write'>;
  space: Pick<SpaceGuard, 'wrote'>;
  limits: ReceiveLimits;
  /** Where what is too much for memory goes while the CAR arrives. */
  spillFolder: string;
}

/**
 * Streams a CAR into a staged object block by block, each checked against its CID; or what `pack` makes of another body.
 * Memory: one block, and the CIDs while they are few. A chunk of the body is done with when the next one is asked for.
 * Throws `BadInput` for whatever is wrong with the CAR.
 */
export async function stageCar(input: StageCarInput): Promise<StagedCar> {
  try {
    return await (input.pack === undefined ? copySections(input) : packBlocks(input, input.pack));
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new BadInput(error.code, error.message, { cause: error, details: error.details });
  }
}

async function copySections(input: StageCarInput): Promise<StagedCar> {
  const { roots, sections } = await openCar(input.body, defaultCarLimits, { passing: true });
  const root = onlyRoot(roots);
  if (input.root !== undefined && canonicalCid(root) !== input.root) throw rootDiffers(root, input.root);
  return await concluded(input, root, async (dag) => {
    const keep = keeper(input, dag);
    for await (const section of sections) {
      const head = encodeSectionHead(section.cid, section.bytes.length);
      const isNew = admit(dag, section, head.length);
      if (typeof isNew === 'boolean' ? isNew : await telling(section, isNew)) await keep(head, section.bytes);
    }
    if (!dag.holdsRoot) throw rootNotInCar(root);
    return root;
  });
}

async function packBlocks(input: StageCarInput, pack: PackBody): Promise<StagedCar> {
  return await concluded(input, undefined, async (dag) => {
    const keep = keeper(input, dag);
    return await pack(input.body, async (cid, bytes) => {
      const head = encodeSectionHead(cid, bytes.length);
      if (await dag.note(cid, bytes, head.length + bytes.length)) await keep(head, bytes);
    });
  });
}

/** All blocks come within `copy`, which answers the root. */
async function concluded(
  { limits, spillFolder }: StageCarInput,
  known: CID | undefined,
  copy: (dag: UploadDag) => Promise<CID>,
): Promise<StagedCar> {
  const dag = new UploadDag({ root: known, limits, spillFolder });
  const close = () => dag.close();
  try {
    const root = await copy(dag);
    return { root, ...(await dag.conclude(root)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Writes sections, and looks after the space that is left. */
function keeper({ staged, space }: StageCarInput, dag: UploadDag) {
  let spilledBytes = 0;
  return async (head: Uint8Array, bytes: Uint8Array): Promise<void> => {
    await staged.write(head);
    await staged.write(bytes);
    await space.wrote(head.length + bytes.length + dag.spilledBytes - spilledBytes);
    ({ spilledBytes } = dag);
  };
}

function rootNotInCar(root: CID): BadInput {
  return new BadInput('ROOT_NOT_IN_CAR', `the root ${root} is not among the blocks of the CAR`, {
    details: { root: root.toString() },
  });
}

function rootDiffers(root: CID, wanted: string): BadInput {
  return new BadInput('ROOT_DIFFERS', `the root of the CAR is ${root}, not ${wanted}`, {
    details: { root: root.toString(), wanted },
  });
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
function admit(dag: UploadDag, section: CarSection, headBytes: number): boolean | Promise<boolean> {
  const { cid, bytes } = section;
  try {
    verifyBlock(cid, bytes);
    return dag.note(cid, bytes, headBytes + bytes.length);
  } catch (error) {
    throw faultOf(section, error);
  }
}

async function telling(section: CarSection, isNew: Promise<boolean>): Promise<boolean> {
  try {
    return await isNew;
  } catch (error) {
    throw faultOf(section, error);
  }
}

function faultOf({ cid, offset }: CarSection, error: unknown): unknown {
  if (!(error instanceof FormatError) && !(error instanceof BadInput)) return error;
  const details = { ...error.details, block: cid.toString(), offset };
  return new BadInput(error.code, `block ${cid} at byte ${offset}: ${error.message}`, { cause: error, details });
}
