import { expect, test } from 'vitest';
import { giveBackChunks } from '../../src/api/uploads/give-back-chunks.ts';
import { gather } from '../support/gather.ts';

async function* from(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

test('a chunk is whole while it is read, and takes no memory once the next is asked for', async () => {
  const chunks = [new Uint8Array(70_000).fill(1), new Uint8Array(3).fill(2)];
  const seen: number[] = [];
  for await (const chunk of giveBackChunks(from(chunks))) seen.push(chunk.length, chunk.at(-1) ?? 0);
  expect(seen).toEqual([70_000, 1, 3, 2]);
  expect(chunks.map(({ buffer }) => buffer.byteLength)).toEqual([0, 0]);
});

test('a chunk that shares its memory with others is left alone', async () => {
  const memory = new Uint8Array(10).fill(7);
  await gather(giveBackChunks(from([memory.subarray(0, 4), memory.subarray(4)])));
  expect(memory.join('')).toBe('7777777777');
});

test('what is left early is left whole', async () => {
  const chunks = [new Uint8Array(5).fill(1), new Uint8Array(5).fill(2)];
  for await (const chunk of giveBackChunks(from(chunks))) {
    expect(chunk.length).toBe(5);
    break;
  }
  expect(chunks.map(({ length }) => length)).toEqual([5, 5]);
});
