import { statfs } from 'node:fs/promises';

/** What a process without privileges can still write below this folder. */
export async function freeBytesIn(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
