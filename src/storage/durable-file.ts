import { open } from 'node:fs/promises';
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
