import { performance } from 'node:perf_hooks';
import { describe, expect, it } from 'vitest';
import { readItem } from '../../../src/deals/transport/read-item.ts';
import vectors from '../../vectors/mk12.json' with { type: 'json' };

const MAX_BYTES = 65_536;

async function* inChunks(bytes: Uint8Array, length: number, counter = { taken: 0 }) {
  for (let at = 0; at < bytes.length; at += length) {
    counter.taken += 1;
    yield await Promise.resolve(bytes.subarray(at, at + length));
  }
}

const messages = [vectors.dealParams121, vectors.dealStatusRequest, vectors.askRequest].map((hex) =>
  Uint8Array.from(Buffer.from(hex, 'hex')),
);

describe('the first item of a stream', () => {
  it.each([1, 2, 3, 7, 64, 1_000_000])('is the same in chunks of %i bytes', async (length) => {
    for (const message of messages) {
      const item = await readItem(inChunks(Buffer.concat([message, Uint8Array.of(0xf6)]), length), MAX_BYTES);
      expect(Buffer.from(item ?? []).toString('hex')).toBe(Buffer.from(message).toString('hex'));
    }
  });

  it('is not there when the stream ends anywhere within it', async () => {
    const [message = new Uint8Array()] = messages;
    for (let length = 0; length < message.length; length += 1)
      expect(await readItem(inChunks(message.subarray(0, length), 50), MAX_BYTES)).toBeUndefined();
  });

  it('may be as long as the limit, and no longer', async () => {
    const item = Uint8Array.of(0x58, 97, ...new Uint8Array(97));
    expect(await readItem(inChunks(item, 10), item.length)).toHaveLength(item.length);
    await expect(readItem(inChunks(item, 10), item.length - 1)).rejects.toThrow('exceeds 98 bytes');
  });

  it('is refused as soon as the bytes cannot become one', async () => {
    const counter = { taken: 0 };
    const html = new TextEncoder().encode('<html>'.repeat(1_000));
    await expect(readItem(inChunks(html, 1, counter), MAX_BYTES)).rejects.toThrow(/indefinite/);
    expect(counter.taken).toBe(1);
  });

  it.each([
    ['an array of tiny items', Uint8Array.of(0x9a, 0xff, 0xff, 0xff, 0xff), 0x00],
    ['arrays within arrays', Uint8Array.of(), 0x81],
    ['a text that does not end', Uint8Array.of(0x7a, 0, 1, 0, 0), 0x61],
  ])('costs no more for coming byte by byte: %s', async (_name, head, filling) => {
    const hostile = new Uint8Array(MAX_BYTES).fill(filling);
    hostile.set(head);
    const before = performance.now();
    expect(await readItem(inChunks(hostile, 1), MAX_BYTES)).toBeUndefined();
    // Reading anew what was read before takes minutes.
    expect(performance.now() - before).toBeLessThan(2_000);
  });
});
