import { link, open, rename, rm, stat } from 'node:fs/promises';
import { LadingError } from '../errors.ts';

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

export function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT';
}

/** A full disk or quota becomes `STORE_FULL`, which callers may try again later; anything else stays what it is. */
export function writeFault(error: unknown): unknown {
  if (!['ENOSPC', 'EDQUOT', 'EFBIG'].includes(codeOf(error) ?? '')) return error;
  return new LadingError('STORE_FULL', 'the store has no room left; try again once space was made', {
    cause: error,
    retry: 'later',
  });
}

/** Makes the names in a folder durable. Windows cannot sync folders, and keeps their order by itself. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Size of a file in bytes, undefined when there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** What file systems without hard links answer (exFAT, some network ones). */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

/**
 * Moves a file to a name in the same file system unless that is taken; answers whether it did. A link is the one step
 * that does both: a rename would replace what another put there since we looked.
 */
export async function nameNew(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    if (!NO_LINKS.includes(codeOf(error) ?? '')) throw writeFault(error);
    if ((await sizeOf(to)) !== undefined) return false;
    await rename(from, to);
  }
  await rm(from, { force: true });
  return true;
}
