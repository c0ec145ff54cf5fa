import { CarBlockIterator } from '@ipld/car';
import { expect, test } from 'vitest';
import { apiFixture, bearer, tokens } from '../../support/api-fixture.ts';
import { car, header, pbNode, rawBlock, sections, type Block } from '../../support/car-builder.ts';
import { bytesOf } from './sample-tree.ts';

const MIB = 1024 * 1024;
const limits = { maxUploadBytes: 200n * BigInt(MIB), maxBlocks: 2_000_000 };

async function served(blocks: readonly Block[], root: Block) {
  const warned: unknown[] = [];
  const log = {
    debug() {},
    info() {},
    warn: (...told: unknown[]) => void warned.push(told),
    error: (...told: unknown[]) => void warned.push(told),
  };
  const fixture = await apiFixture({ limits, server: { log } });
  const { url } = await fixture.listen();
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  const body = new Uint8Array(car([root.cid], blocks));
  expect((await fetch(`${url}/upload`, { method: 'POST', body, headers })).status).toBe(200);
  const get = (query: string, init: RequestInit = {}) =>
    fetch(`${url}/ipfs/${root.cid}?format=car${query}`, { headers: bearer(tokens.read), ...init });
  return { fixture, warned, get, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

test('a large upload comes as it is stored where no order is asked for, and in any order that is', async () => {
  const seed = bytesOf('large', MIB);
  const leaves = Array.from({ length: 66 }, (_, at) => {
    seed.writeUInt32LE(at);
    return rawBlock(seed);
  });
  // pbNode sorts by the text of the number: the walk goes another way than the leaves are stored.
  const root = pbNode(leaves);
  const carried = { cid: root.cid, bytes: root.bytes };
  await using at = await served([...leaves, carried], root);
  for (const [query, type] of [
    ['', 'application/vnd.ipld.car; version=1; order=unk; dups=n'],
    ['&car-order=unk', 'application/vnd.ipld.car; version=1; order=unk; dups=n'],
  ] as const) {
    const answer = await at.get(query);
    expect([query, answer.status, answer.headers.get('content-type')]).toEqual([query, 200, type]);
    const bytes = Buffer.from(await answer.arrayBuffer());
    const expected = Buffer.concat([header({ roots: [root.cid], version: 1 }), sections([...leaves, root])]);
    expect(bytes.equals(expected)).toBe(true);
  }
  const asked = await at.get('&car-order=dfs');
  expect(asked.headers.get('content-type')).toContain('order=dfs; dups=n');
  const order: string[] = [];
  if (asked.body === null) throw new Error('no body came');
  for await (const { cid } of await CarBlockIterator.fromIterable(asked.body)) order.push(cid.toString());
  const sorted = [...leaves.entries()].toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  expect(order).toEqual([root.cid.toString(), ...sorted.map(([, { cid }]) => cid.toString())]);
  const head = await at.get('', { method: 'HEAD' });
  const etag = head.headers.get('etag') ?? '';
  expect([head.status, etag]).toEqual([200, expect.stringMatching(/^W\/"all\..*\.car"$/)]);
  const known = await at.get('', { headers: { ...bearer(tokens.read), 'if-none-match': etag } });
  expect(known.status).toBe(304);
});

test('a client that leaves in the middle is no fault, and the next one is served', async () => {
  const seed = bytesOf('leaves', MIB);
  const leaves = Array.from({ length: 66 }, (_, at) => {
    seed.writeUInt32LE(at);
    return rawBlock(seed);
  });
  const root = pbNode(leaves);
  await using at = await served([root, ...leaves], root);
  for (const query of ['', '&car-order=dfs']) {
    const leaving = new AbortController();
    const answer = await at.get(query, { signal: leaving.signal });
    const reader = answer.body?.getReader();
    expect((await reader?.read())?.value?.length).toBeGreaterThan(0);
    leaving.abort();
    await expect(reader?.read()).rejects.toThrow();
  }
  const whole = Buffer.from(await (await at.get('&car-order=dfs')).arrayBuffer());
  expect(whole.length).toBeGreaterThan(66 * MIB);
  expect(at.warned).toEqual([]);
});

test('a block that is missing far behind breaks the answer off: nobody takes it for whole', async () => {
  const leaves = Array.from({ length: 9 }, (_, at) => rawBlock(bytesOf(`leaf ${at}`, 200_000)));
  const root = pbNode(leaves);
  await using at = await served([root, ...leaves.slice(0, 8)], root);
  const answer = await at.get('');
  expect(answer.status).toBe(200);
  await expect(answer.arrayBuffer()).rejects.toThrow();
  await expect.poll(() => JSON.stringify(at.warned)).toContain(`the block ${leaves[8]?.cid} is not stored`);
});

test('twenty thousand tiny blocks, the root stored last', async () => {
  const groups: Block[] = [];
  const blocks: Block[] = [];
  for (let group = 0; group < 20; group += 1) {
    const leaves = Array.from({ length: 1_000 }, (_, at) => rawBlock(`${group} ${at}`));
    const node = pbNode(leaves);
    groups.push(node);
    blocks.push(...leaves, node);
  }
  const root = pbNode(groups);
  await using at = await served([...blocks, root], root);
  const answer = await at.get('');
  let count = 0;
  if (answer.body === null) throw new Error('no body came');
  for await (const { bytes } of await CarBlockIterator.fromIterable(answer.body)) count += bytes.length > 0 ? 1 : 0;
  expect(count).toBe(20_021);
  expect(at.warned).toEqual([]);
});
