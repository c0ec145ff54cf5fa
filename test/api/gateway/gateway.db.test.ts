import { CarReader } from '@ipld/car';
import * as dagPb from '@ipld/dag-pb';
import { UnixFS } from 'ipfs-unixfs';
import type { CID } from 'multiformats/cid';
import { expect, test } from 'vitest';
import { apiFixture, bearer, tokens, type ApiFixture } from '../../support/api-fixture.ts';
import { asV0, car, cborNode, cidOf, DAG_PB, pbNode, rawBlock, type Block } from '../../support/car-builder.ts';

async function send(fixture: ApiFixture, roots: readonly CID[], blocks: readonly Block[]): Promise<void> {
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  const answer = await fixture.server.inject({ method: 'POST', url: '/upload', payload: car(roots, blocks), headers });
  expect([answer.statusCode, answer.json()]).toEqual([200, expect.objectContaining({ ok: true })]);
}

type Headers = Record<string, string>;

function get(fixture: ApiFixture, url: string, headers: Headers = {}, method: 'GET' | 'HEAD' = 'GET') {
  return fixture.server.inject({ method, url, headers: { ...bearer(tokens.read), ...headers } });
}

async function carAt(fixture: ApiFixture, url: string, headers: Headers = {}) {
  const answer = await get(fixture, url, headers);
  expect([url, answer.statusCode, answer.statusCode === 200 ? '' : answer.body]).toEqual([url, 200, '']);
  const reader = await CarReader.fromBytes(answer.rawPayload);
  const cids: string[] = [];
  for await (const { cid } of reader.blocks()) cids.push(cid.toString());
  return { cids, roots: (await reader.getRoots()).map(String), answer };
}

function directory(entries: Record<string, Block>): Block {
  const links = Object.entries(entries).map(([name, { cid, bytes }]) => ({
    Name: name,
    Hash: cid,
    Tsize: bytes.length,
  }));
  const data = new UnixFS({ type: 'directory' }).marshal();
  return node(dagPb.encode(dagPb.prepare({ Data: data, Links: links })));
}

/** A file of these, each with so many bytes. */
function file(children: readonly { block: Block; size: number }[], inline?: Uint8Array): Block {
  const data = new UnixFS({
    type: 'file',
    ...(inline && { data: inline }),
    blockSizes: children.map(({ size }) => BigInt(size)),
  });
  const Links = children.map(({ block }) => ({ Name: '', Hash: block.cid, Tsize: block.bytes.length }));
  return node(dagPb.encode({ Data: data.marshal(), Links }));
}

function node(bytes: Uint8Array): Block {
  return { cid: cidOf(DAG_PB, bytes), bytes };
}

const names = (blocks: readonly Block[]) => blocks.map(({ cid }) => cid.toString());

test('a raw block, with what its client needs to know', async () => {
  await using fixture = await apiFixture();
  const leaf = rawBlock('a leaf with some bytes in it');
  const root = pbNode([leaf]);
  await send(fixture, [root.cid], [root, leaf]);
  const answer = await get(fixture, `/ipfs/${root.cid}?format=raw`);
  expect(answer.statusCode).toBe(200);
  expect(answer.rawPayload.equals(root.bytes)).toBe(true);
  expect(answer.headers).toMatchObject({
    'content-type': 'application/vnd.ipld.raw',
    'content-length': String(root.bytes.length),
    'content-disposition': `attachment; filename="${root.cid}.bin"`,
    'x-content-type-options': 'nosniff',
    etag: `"${root.cid}.raw"`,
    'accept-ranges': 'bytes',
    'x-ipfs-path': `/ipfs/${root.cid}`,
    'x-ipfs-roots': `${root.cid}`,
  });
  // A token opened it: no cache that others use may keep it.
  expect(answer.headers['cache-control']).toMatch(/private.*max-age=31536000.*immutable/);
  expect(answer.headers).not.toHaveProperty('content-location');
  const byAccept = await get(fixture, `/ipfs/${root.cid}`, { accept: 'application/vnd.ipld.raw' });
  expect(byAccept.rawPayload.equals(root.bytes)).toBe(true);
  expect(byAccept.headers['content-location']).toBe(`/ipfs/${root.cid}?format=raw`);
  // A cache that goes by it must not take one block for all of the DAG.
  const part = await get(fixture, `/ipfs/${root.cid}?dag-scope=block&car-dups=y`, {
    accept: 'application/vnd.ipld.car',
  });
  expect(part.headers['content-location']).toBe(`/ipfs/${root.cid}?dag-scope=block&car-dups=y&format=car`);
  const again = await get(fixture, `/ipfs/${root.cid}`, { accept: 'application/vnd.ipld.car; dups=y' });
  expect(again.headers['content-location']).toBe(`/ipfs/${root.cid}?format=car&car-dups=y`);
  const head = await get(fixture, `/ipfs/${root.cid}?format=raw`, {}, 'HEAD');
  expect([head.statusCode, head.body, head.headers['content-length']]).toEqual([200, '', String(root.bytes.length)]);
});

test('ranges of a raw block, as RFC 9110 has them', async () => {
  await using fixture = await apiFixture();
  const leaf = rawBlock('0123456789abcdef');
  await send(fixture, [leaf.cid], [leaf]);
  const url = `/ipfs/${leaf.cid}?format=raw`;
  const etag = `"${leaf.cid}.raw"`;
  const cases: [range: Headers, status: number, body: string, contentRange: string | undefined][] = [
    [{ range: 'bytes=6-9' }, 206, '6789', 'bytes 6-9/16'],
    [{ range: 'bytes=10-' }, 206, 'abcdef', 'bytes 10-15/16'],
    [{ range: 'bytes=-3' }, 206, 'def', 'bytes 13-15/16'],
    [{ range: 'bytes=0-999' }, 206, '0123456789abcdef', 'bytes 0-15/16'],
    [{ range: 'bytes=0-1,4-5' }, 200, '0123456789abcdef', undefined],
    [{ range: 'lines=0-1' }, 200, '0123456789abcdef', undefined],
    [{ range: 'bytes=1-2', 'if-range': etag }, 206, '12', 'bytes 1-2/16'],
    [{ range: 'bytes=1-2', 'if-range': '"another"' }, 200, '0123456789abcdef', undefined],
  ];
  for (const [headers, status, body, contentRange] of cases) {
    const answer = await get(fixture, url, headers);
    expect([headers, answer.statusCode, answer.body]).toEqual([headers, status, body]);
    expect(answer.headers['content-range']).toBe(contentRange);
    expect(answer.headers['content-length']).toBe(String(body.length));
  }
  const beyond = await get(fixture, url, { range: 'bytes=16-' });
  expect([beyond.statusCode, beyond.headers['content-range']]).toEqual([416, 'bytes */16']);
  expect(beyond.json()).toMatchObject({ code: 'RANGE_NOT_SATISFIABLE' });
});

test('what the client has already is not sent again', async () => {
  await using fixture = await apiFixture();
  const leaf = rawBlock('leaf');
  const root = pbNode([leaf]);
  await send(fixture, [root.cid], [root, leaf]);
  const seen = new Set<unknown>();
  const urls = [
    'format=raw',
    'format=car',
    'format=car&dag-scope=block',
    'format=car&dag-scope=entity',
    'format=car&car-dups=y',
    'format=car&entity-bytes=0:0',
  ];
  for (const query of urls) {
    const url = `/ipfs/${root.cid}?${query}`;
    const { etag = '' } = (await get(fixture, url)).headers;
    seen.add(etag);
    for (const given of [etag, `"other", ${etag}`, '*', `W/${etag.replace('W/', '')}`]) {
      const again = await get(fixture, url, { 'if-none-match': given });
      expect([url, given, again.statusCode, again.body, again.headers['etag']]).toEqual([url, given, 304, '', etag]);
    }
    expect((await get(fixture, url, { 'if-none-match': '"other"' })).statusCode).toBe(200);
  }
  expect(seen.size).toBe(urls.length);
});

test('what is not stored here, and what cannot be asked for', async () => {
  await using fixture = await apiFixture();
  const leaf = rawBlock('leaf');
  const root = directory({ 'a.txt': leaf });
  await send(fixture, [root.cid], [root, leaf]);
  const { cid } = rawBlock('never sent');
  const at = `/ipfs/${root.cid}`;
  const cases: [url: string, headers: Headers, status: number, code: string][] = [
    [`/ipfs/${cid}?format=raw`, {}, 404, 'NOT_FOUND'],
    [`/ipfs/${cid}?format=car`, {}, 404, 'NOT_FOUND'],
    [`/ipfs/${cid}?format=car`, { 'cache-control': 'only-if-cached' }, 412, 'NOT_CACHED'],
    [`${at}/none?format=car`, {}, 404, 'NOT_FOUND'],
    [`${at}/a.txt/below?format=car`, {}, 404, 'NOT_FOUND'],
    [`${at}/%E0%A4%A?format=car`, {}, 400, 'INVALID_REQUEST'],
    ['/ipfs/no-cid?format=raw', {}, 400, 'INVALID_CID'],
    [at, {}, 400, 'INVALID_REQUEST'],
    [at, { accept: '*/*' }, 400, 'INVALID_REQUEST'],
    [at, { accept: 'text/html' }, 406, 'NOT_ACCEPTABLE'],
    [at, { accept: 'application/vnd.ipld.car; version=2' }, 406, 'NOT_ACCEPTABLE'],
    [at, { accept: 'application/vnd.ipld.raw;q=0' }, 400, 'INVALID_REQUEST'],
    [`${at}?format=tar`, {}, 400, 'INVALID_REQUEST'],
    [`${at}?format=car&car-version=2`, {}, 400, 'INVALID_REQUEST'],
    [`${at}?format=car&dag-scope=some`, {}, 400, 'INVALID_REQUEST'],
    [`${at}/a.txt?format=car&entity-bytes=4:*`, {}, 400, 'INVALID_REQUEST'],
    [`${at}/a.txt?format=car&entity-bytes=0:-5`, {}, 400, 'INVALID_REQUEST'],
    [`${at}/a.txt?format=car&entity-bytes=3:2`, {}, 400, 'INVALID_REQUEST'],
    [`${at}/a.txt?format=car&entity-bytes=abc`, {}, 400, 'INVALID_REQUEST'],
  ];
  for (const [url, headers, status, code] of cases) {
    const answer = await get(fixture, url, headers);
    expect([url, headers, answer.statusCode, answer.json<{ code: string }>().code]).toEqual([
      url,
      headers,
      status,
      code,
    ]);
    for (const name of ['etag', 'cache-control', 'content-disposition'])
      expect(answer.headers).not.toHaveProperty(name);
  }
});

test('names as they are in a directory: spaces, slashes, letters of other alphabets; and in the name of the download', async () => {
  await using fixture = await apiFixture();
  const leaf = rawBlock('leaf');
  const inner = directory({ 'a/b c': leaf, 'ключ?': leaf });
  const root = directory({ 'dir 1': inner });
  await send(fixture, [root.cid], [root, inner, leaf]);
  for (const name of ['a/b c', 'ключ?']) {
    const path = `/ipfs/${root.cid}/dir%201/${encodeURIComponent(name)}`;
    const { cids, roots, answer } = await carAt(
      fixture,
      `${path}?format=car&filename=${encodeURIComponent('ö "x".car')}`,
    );
    expect(cids).toEqual(names([root, inner, leaf]));
    expect(roots).toEqual([leaf.cid.toString()]);
    expect(answer.headers['x-ipfs-path']).toBe(path);
    expect(answer.headers['x-ipfs-roots']).toBe(names([root, inner, leaf]).join(','));
    expect(answer.headers['content-disposition']).toBe(
      `attachment; filename="_ _x_.car"; filename*=UTF-8''%C3%B6%20%22x%22.car`,
    );
  }
  const raw = await get(fixture, `/ipfs/${root.cid}/dir%201/${encodeURIComponent('a/b c')}?format=raw`);
  expect(raw.body).toBe('leaf');
});

test('a block below a root is found by its own CID once its upload was asked for', async () => {
  await using fixture = await apiFixture();
  const leaves = ['one', 'two', 'three'].map((text) => rawBlock(text));
  const root = pbNode(leaves);
  await send(fixture, [root.cid], [root, ...leaves]);
  for (let at = 0; at < 9; at += 1) await send(fixture, [rawBlock(`other ${at}`).cid], [rawBlock(`other ${at}`)]);
  expect((await get(fixture, `/ipfs/${leaves[2]?.cid}?format=raw`)).statusCode).toBe(404);
  await get(fixture, `/ipfs/${root.cid}?format=raw`);
  expect((await get(fixture, `/ipfs/${leaves[2]?.cid}?format=raw`)).body).toBe('three');
  for (let at = 0; at < 9; at += 1) await get(fixture, `/ipfs/${rawBlock(`other ${at}`).cid}?format=raw`);
  expect((await get(fixture, `/ipfs/${leaves[1]?.cid}?format=raw`)).body).toBe('two');
});

test('both versions of a CID name one block, and a CAR has each as its link writes it', async () => {
  await using fixture = await apiFixture();
  const leaf = rawBlock('leaf');
  const inner = asV0(pbNode([leaf]));
  const root = pbNode([inner, { ...inner, cid: inner.cid.toV1() }]);
  // As v1, while the first link says v0.
  await send(fixture, [root.cid], [root, { ...inner, cid: inner.cid.toV1() }, leaf]);
  const whole = await carAt(fixture, `/ipfs/${root.cid.toV0()}?format=car&car-order=dfs`);
  expect(whole.cids).toEqual(names([asV0(root), inner, leaf]));
  const often = await carAt(fixture, `/ipfs/${root.cid}?format=car&car-dups=y`);
  expect(often.cids).toEqual(names([root, inner, leaf, { ...inner, cid: inner.cid.toV1() }, leaf]));
});

test('an upload in several parts, in any order of blocks', async () => {
  await using fixture = await apiFixture();
  const leaves = Array.from({ length: 50 }, (_, at) => rawBlock(`leaf ${at} ${'.'.repeat(at * 100)}`));
  const [one, two] = [leaves.slice(0, 25), leaves.slice(25)].map((some) =>
    file(some.map((block) => ({ block, size: block.bytes.length }))),
  ) as [Block, Block];
  const root = pbNode([one, two]);
  await send(fixture, [root.cid], [...leaves.slice(40), root, ...leaves.slice(0, 10).toReversed()]);
  const partly = await get(fixture, `/ipfs/${root.cid}?format=car`);
  expect([partly.statusCode, partly.json<{ code: string }>().code]).toEqual([404, 'STORED_BLOCK_MISSING']);
  expect((await carAt(fixture, `/ipfs/${root.cid}?format=car&dag-scope=block`)).cids).toEqual(names([root]));
  await send(fixture, [root.cid], [root, two, ...leaves.slice(10, 40), one]);
  const whole = await carAt(fixture, `/ipfs/${root.cid}?format=car`);
  expect(whole.cids).toEqual(names([root, one, ...leaves.slice(0, 25), two, ...leaves.slice(25)]));
});

test('a file whose nodes come again: a range of it has every block that its bytes need', async () => {
  await using fixture = await apiFixture();
  const zeros = ['0', '1', '2', '3'].map((text) => ({ block: rawBlock(text.repeat(10)), size: 10 }));
  const inner = file(zeros);
  const root = file([
    { block: inner, size: 40 },
    { block: inner, size: 40 },
  ]);
  await send(fixture, [root.cid], [root, inner, ...zeros.map(({ block }) => block)]);
  const [zero, one, , three] = zeros.map(({ block }) => block.cid.toString());
  const at = (bytes: string, more = '') => carAt(fixture, `/ipfs/${root.cid}?format=car&entity-bytes=${bytes}${more}`);
  // The last of the first, and the first two of the second.
  expect((await at('35:55')).cids).toEqual([...names([root, inner]), three, zero, one]);
  expect((await at('35:55', '&car-dups=y')).cids).toEqual([
    ...names([root, inner]),
    three,
    inner.cid.toString(),
    zero,
    one,
  ]);
  expect((await at('35:*')).cids).toEqual([...names([root, inner]), three, zero, one, zeros[2]?.block.cid.toString()]);
  // No byte: the block that says so.
  expect((await at('-10:40')).cids).toEqual(names([root]));
});

test('a file with bytes of its own before those of its links', async () => {
  await using fixture = await apiFixture();
  const [first, second] = [rawBlock('first'), rawBlock('second')];
  const root = file(
    [
      { block: first, size: 5 },
      { block: second, size: 6 },
    ],
    Buffer.from('own'),
  );
  await send(fixture, [root.cid], [root, first, second]);
  const at = async (bytes: string) => (await carAt(fixture, `/ipfs/${root.cid}?format=car&entity-bytes=${bytes}`)).cids;
  expect(await at('0:2')).toEqual(names([root]));
  expect(await at('2:3')).toEqual(names([root, first]));
  expect(await at('7:8')).toEqual(names([root, first, second]));
  expect(await at('-6:*')).toEqual(names([root, second]));
});

test('through maps and lists of DAG-CBOR, to a value, a link and a link below one', async () => {
  await using fixture = await apiFixture();
  const leaf = rawBlock('leaf');
  const inner = cborNode({ deep: [{ leaf: leaf.cid }], text: 'x' });
  const root = cborNode({ a: { b: inner.cid }, n: 1, nothing: null });
  await send(fixture, [root.cid], [root, inner, leaf]);
  const at = async (path: string) => (await carAt(fixture, `/ipfs/${root.cid}${path}?format=car`)).cids;
  expect(await at('/a/b/deep/0/leaf')).toEqual(names([root, inner, leaf]));
  expect(await at('/a/b/text')).toEqual(names([root, inner, leaf]));
  expect(await at('/n')).toEqual(names([root, inner, leaf]));
  for (const path of ['/nothing/more', '/n/more', '/a/c', '/__proto__']) {
    expect([path, (await get(fixture, `/ipfs/${root.cid}${path}?format=car`)).statusCode]).toEqual([path, 404]);
  }
});

test('an upload that is gone is not told of, and one that was removed and sent again is read anew', async () => {
  await using fixture = await apiFixture();
  const leaf = rawBlock('leaf');
  const root = pbNode([leaf]);
  const url = `/ipfs/${root.cid}?format=car`;
  await send(fixture, [root.cid], [root, leaf]);
  expect((await carAt(fixture, url)).cids).toEqual(names([root, leaf]));
  const removed = await fixture.server.inject({
    method: 'DELETE',
    url: `/${root.cid}`,
    headers: bearer(tokens.upload),
  });
  expect(removed.statusCode).toBe(202);
  expect((await get(fixture, url)).statusCode).toBe(404);
  await send(fixture, [root.cid], [leaf, root]);
  expect((await carAt(fixture, url)).cids).toEqual(names([root, leaf]));
});

test('roles: who only uploads does not read', async () => {
  await using fixture = await apiFixture();
  for (const [token, status] of [
    [tokens.upload, 403],
    [tokens.ops, 200],
    [tokens.read, 200],
  ] as const) {
    const answer = await fixture.server.inject({ url: '/ipfs/bafkqaaa?format=raw', headers: bearer(token) });
    expect(answer.statusCode).toBe(status);
  }
});
