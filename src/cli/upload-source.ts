import { createReadStream } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { CID } from 'multiformats/cid';
import { PART_BYTES, planParts, type PlannedUpload } from '../client/plan-parts.ts';
import type { CarBlock } from '../client/read-car.ts';
import { BadInput } from '../errors.ts';
import { openCar } from '../filecoin/car.ts';
import { FormatError } from '../filecoin/format-error.ts';
import { packUnixfs } from '../pack-unixfs.ts';
import { openFileTree } from './list-files.ts';
import { pullItems } from './pull-items.ts';

/**
 * One argument of `lading upload`: a CAR, or a file or folder that is packed anew each time it is read.
 * Throws `FILE_UNREADABLE`, `NOT_A_FILE`, CAR_*.
 */
export async function openUploadSource(path: string, partBytes: number = PART_BYTES): Promise<PlannedUpload> {
  if (path.endsWith('.car')) {
    return planParts({ root: await readCarRoot(path), readBlocks: () => carBlocks(path), partBytes });
  }
  const tree = await openFileTree(path);
  const pack = (take: (block: CarBlock) => Promise<void>) =>
    packUnixfs(tree.candidates(), (cid, bytes) => take({ cid, bytes }));
  const readBlocks = () => pullItems<CarBlock>(async (give) => void (await pack(give)));
  return planParts({ root: undefined, readBlocks, partBytes });
}

/** What a person calls it. */
export function sourceName(path: string): string {
  return basename(resolve(path));
}

async function readCarRoot(path: string): Promise<CID> {
  const file = createReadStream(path);
  const { roots, sections } = await openCar(file).catch((error: unknown) => {
    throw carFault(path, error);
  });
  await sections.return(undefined);
  file.destroy();
  const [root] = roots;
  if (root !== undefined && roots.length === 1) return root;
  throw new BadInput('CAR_ROOTS', `${path} names ${roots.length} roots: one upload has one root`);
}

async function* carBlocks(path: string): AsyncGenerator<CarBlock> {
  try {
    yield* (await openCar(createReadStream(path))).sections;
  } catch (error) {
    throw carFault(path, error);
  }
}

function carFault(path: string, cause: unknown): unknown {
  if (cause instanceof FormatError) return new BadInput(cause.code, `${path}: ${cause.message}`, { cause });
  const unreadable = cause instanceof Error && 'syscall' in cause;
  return unreadable ? new BadInput('FILE_UNREADABLE', `cannot read ${path}`, { cause }) : cause;
}
