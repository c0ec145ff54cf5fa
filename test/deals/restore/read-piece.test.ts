import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { pieceLimits, readPiece, type PieceSource } from '../../../src/deals/restore/read-piece.ts';
import { certificate } from '../transport/self-signed.ts';
import { pieceHost, type Ways } from './piece-host.ts';

const BYTES = randomBytes(300_000);
const limits = { ...pieceLimits, rangeBytes: 130_000, tries: 3, retryMs: 5, idleMs: 400 };
const never = new AbortController().signal;

async function read(url: URL, change: Partial<PieceSource> = {}, signal = never): Promise<Buffer> {
  const source = { url, carBytes: BYTES.length, capacityBytes: 520_192, allowPrivate: true, limits, ...change };
  const chunks: Uint8Array[] = [];
  for await (const chunk of readPiece(source, signal)) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

async function readFrom(ways: Ways, change: Partial<PieceSource> = {}) {
  await using host = await pieceHost(BYTES, ways);
  return { bytes: await read(host.url, change), asked: host.asked };
}

it('asks for ranges, uncompressed, of the CAR alone and not of the zeros behind it', async () => {
  const { bytes, asked } = await readFrom({ zeros: 220_192 });
  expect(bytes.equals(BYTES)).toBe(true);
  expect(asked.map(({ range }) => range)).toEqual(['bytes=0-129999', 'bytes=130000-259999', 'bytes=260000-299999']);
  expect(new Set(asked.map(({ encoding }) => encoding))).toEqual(new Set(['identity']));
});

const honest: [string, Ways, Partial<PieceSource>][] = [
  ['that serves the CAR and no zeros', {}, {}],
  ['whose connections break, each resumed where it ended', { cutAfter: 40_000 }, {}],
  ['that is at fault for a moment', { status: { code: 503, times: 2 } }, {}],
  ['that bids to wait', { status: { code: 429, times: 1 } }, {}],
  ['that knows no length', { chunked: true }, {}],
  ['that knows no ranges, where one is enough', { ignoresRange: true }, { limits: { ...limits, rangeBytes: 2 ** 20 } }],
];
it.each(honest)('has the bytes of one %s', async (_name, ways, change) => {
  expect((await readFrom(ways, change)).bytes.equals(BYTES)).toBe(true);
});

const dishonest: [string, Ways, RegExp][] = [
  ['has no such piece', { status: { code: 404, times: 9 } }, /^no_such_piece: it answered 404$/],
  ['wants a token', { status: { code: 401, times: 9 } }, /^refused: it answered 401$/],
  [
    'sends us elsewhere',
    { status: { code: 302, times: 9 }, headers: { location: 'http://127.0.0.1/' } },
    /^redirected/,
  ],
  ['is down', { status: { code: 503, times: 9 } }, /^unreachable: asked 3 times, last: it answered 503$/],
  ['knows no ranges', { ignoresRange: true }, /^no_ranges/],
  ['answers another range', { headers: { 'content-range': 'bytes 7-9/300000' } }, /^bad_answer: another range/],
  ['compresses', { headers: { 'content-encoding': 'gzip' } }, /^bad_answer: the piece comes in content encoding gzip$/],
  ['ends in the middle, whatever it says', { stuckAt: 70_000 }, /^truncated: byte 70000 of 300000 does not come/],
  ['serves more than the piece holds', { zeros: 300_000 }, /^wrong_size: 600000 bytes are served/],
  ['says nothing', { silent: true }, /^unreachable: asked 3 times, last: nothing came for 400 ms/],
];
it.each(dishonest)('refuses one that %s, and says why', async (_name, ways, message) => {
  await expect(readFrom(ways)).rejects.toThrow(message);
});

it('refuses a piece that is too short by its own words, before it takes a byte', async () => {
  await using host = await pieceHost(BYTES.subarray(0, 150_000));
  await expect(read(host.url)).rejects.toThrow(/^wrong_size: 150000 bytes are served, not 300000/);
  expect(host.asked).toHaveLength(1);
});

it('dials no private address, in whatever form or behind a name', async () => {
  await using host = await pieceHost(BYTES);
  for (const name of ['127.0.0.1', '127.1', '0x7f000001', '[::1]', '[::ffff:127.0.0.1]', 'localhost']) {
    const url = new URL(`http://${name}:${host.port}/piece/x`);
    await expect(read(url, { allowPrivate: false }), name).rejects.toThrow(/^private_address/);
  }
  expect(host.asked).toEqual([]);
});

it('gives up one that is too slow for the whole, and ends at once when it is stopped', async () => {
  await using host = await pieceHost(BYTES, { cutAfter: 1 });
  const slow = { ...limits, minMs: 300, minBytesPerSecond: 2 ** 30 };
  await expect(read(host.url, { limits: slow })).rejects.toThrow(/^too_slow: \d+ of 300000 bytes came in 0 s$/);
  const stopping = new AbortController();
  setTimeout(() => stopping.abort(new Error('we stop')), 100);
  await expect(read(host.url, {}, stopping.signal)).rejects.toThrow(/we stop/);
});

it('reads over TLS from one whose certificate is good, and from no other', async () => {
  await using host = await pieceHost(BYTES, { secure: true });
  expect((await read(host.url, { ca: certificate })).equals(BYTES)).toBe(true);
  const asked = host.asked.length;
  await expect(read(host.url)).rejects.toThrow(/^unreachable: .*certificate/);
  expect(host.asked).toHaveLength(asked);
});
