import { createReadStream } from 'node:fs';
import { appendFile, rm, stat } from 'node:fs/promises';

/** Boost splits a transfer from here on (http_transport.go: 10 × its 1 MiB read buffer) … */
const SPLIT_BYTES = 10 * 1024 * 1024;
/** … into so many chunks, each with a connection of its own (boost config HttpTransferNChunks). */
const CHUNKS = 5;

/** The transfer is over for good: the deal fails with this text. */
export class TransferFailed extends Error {
  override readonly name = 'TransferFailed';
}

/** Where a transfer gathers, and how long it is to become. */
export interface PieceFile {
  path: string;
  sizeBytes: number;
}

export interface Chunk {
  index: number;
  path: string;
  finalPath: string;
  start: number;
  /** One past the last byte. */
  end: number;
}

/** How many connections a transfer of this size uses at once. */
export function connectionsFor(sizeBytes: number): number {
  return sizeBytes < SPLIT_BYTES ? 1 : CHUNKS;
}

/** The same plan at every start, because it depends on the size alone. The last chunk takes the remainder. */
export function planChunks({ path, sizeBytes }: PieceFile): Chunk[] {
  const count = connectionsFor(sizeBytes);
  const length = Math.floor(sizeBytes / count);
  return Array.from({ length: count }, (_, index) => ({
    index,
    path: index === 0 ? path : `${path}-${index}`,
    finalPath: path,
    start: index * length,
    end: index === count - 1 ? sizeBytes : (index + 1) * length,
  }));
}

/** All of it as one chunk, which Curio brings by one connection. */
export function wholePiece({ path, sizeBytes }: PieceFile): Chunk {
  return { index: 0, path, finalPath: path, start: 0, end: sizeBytes };
}

/**
 * Where a chunk goes on. Chunk 0 gathers in the final file itself, which may already hold other chunks after a crash
 * in {@link joinChunk}; those have no file of their own any more.
 */
export async function resumePoint(chunk: Chunk): Promise<number> {
  if (chunk.index > 0 && (await sizeOf(chunk.finalPath)) >= chunk.end) return chunk.end;
  return Math.min(chunk.end, chunk.start + (await sizeOf(chunk.path)));
}

/** Appends a chunk to the final file and deletes it; a chunk that a crash cut off while being appended is completed. */
export async function joinChunk(chunk: Chunk): Promise<void> {
  const present = await sizeOf(chunk.finalPath);
  if (chunk.index > 0 && present < chunk.end) {
    await checkComplete(chunk);
    const rest = createReadStream(chunk.path, { start: present - chunk.start });
    for await (const bytes of rest) await appendFile(chunk.finalPath, bytes);
  }
  if (chunk.index === 0 && present < chunk.end) await checkComplete(chunk);
  if (chunk.index > 0) await rm(chunk.path, { force: true });
}

async function checkComplete(chunk: Chunk): Promise<void> {
  const [expected, actual] = [chunk.end - chunk.start, await sizeOf(chunk.path)];
  if (actual !== expected) {
    throw new TransferFailed(`incomplete chunk file ${chunk.path}: expected: ${expected} actual: ${actual}`);
  }
}

/** 0 when there is no such file yet. */
export async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** How much of a transfer is on disk. */
export async function receivedBytes(file: PieceFile): Promise<number> {
  let total = 0;
  for (const chunk of planChunks(file)) total += (await resumePoint(chunk)) - chunk.start;
  return total;
}

/** Forgets a transfer, however far it came. */
export async function removeChunks(file: PieceFile): Promise<void> {
  for (const { path } of planChunks(file)) await rm(path, { force: true });
}
