import { createReadStream, type Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import type { ImportCandidate } from 'ipfs-unixfs-importer';
import { BadInput } from '../errors.ts';

/** One command line argument that is packed as UnixFS: a file, or a folder with all that is in it. */
export interface FileTree {
  /** Of all files together. */
  bytes: number;
  /** Reads them, in the same order each time. */
  candidates(): AsyncGenerator<ImportCandidate>;
}

/** Throws `FILE_UNREADABLE`, and `NOT_A_FILE` for what UnixFS as nft.storage writes it has no form for. */
export async function openFileTree(path: string): Promise<FileTree> {
  let bytes = 0;
  for await (const entry of walk(path)) bytes += entry.bytes;
  return { bytes, candidates: () => candidates(path) };
}

async function* candidates(top: string): AsyncGenerator<ImportCandidate> {
  for await (const { path, name, isFolder } of walk(top)) {
    yield isFolder ? { path: name } : { path: name, content: createReadStream(path) };
  }
}

interface Entry {
  path: string;
  /** Below the top, whose own name comes first; separated by `/`. */
  name: string;
  isFolder: boolean;
  bytes: number;
}

async function* walk(top: string): AsyncGenerator<Entry> {
  const found = await readable(top, () => stat(top));
  // `.` and `..` have no name of their own; none is seen in the result, whose root is the folder.
  const name = basename(resolve(top)) || 'root';
  if (found.isDirectory()) yield* walkFolder(top, name);
  else if (found.isFile()) yield { path: top, name, isFolder: false, bytes: found.size };
  else throw notAFile(top);
}

async function* walkFolder(folder: string, name: string): AsyncGenerator<Entry> {
  const entries = await readable(folder, () => readdir(folder, { withFileTypes: true }));
  if (entries.length === 0) yield { path: folder, name, isFolder: true, bytes: 0 };
  for (const entry of entries.sort(byName)) {
    const path = join(folder, entry.name);
    const below = `${name}/${entry.name}`;
    if (entry.isDirectory()) yield* walkFolder(path, below);
    else if (entry.isFile()) {
      yield { path, name: below, isFolder: false, bytes: (await readable(path, () => stat(path))).size };
    } else throw notAFile(path);
  }
}

function byName(a: Dirent, b: Dirent): number {
  return Buffer.compare(Buffer.from(a.name), Buffer.from(b.name));
}

async function readable<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new BadInput('FILE_UNREADABLE', `cannot read ${path}`, { cause });
  }
}

function notAFile(path: string): BadInput {
  return new BadInput('NOT_A_FILE', `${path} is neither a file nor a folder: links and devices are not packed`);
}
