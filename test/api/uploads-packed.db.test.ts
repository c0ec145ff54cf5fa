import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cutUpload } from '../../src/aggregate/place/cut.ts';
import { stowDeps } from '../aggregate/aggregate-fixture.ts';
import { apiFixture, bearer, countRows, noRows, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { filesBelow } from '../support/temporary-folder.ts';

const BOUNDARY = 'of-the-test';
const FORM = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };
const CHUNK = 262_144;

// One for all: what is refused comes first, so that it is seen to leave nothing.
let fixture: ApiFixture;
let port: number;
beforeAll(async () => {
  fixture = await apiFixture({ limits: { maxUploadBytes: 1n << 36n } });
  ({ port } = await fixture.listen());
});
afterAll(() => fixture[Symbol.asyncDispose]());

function send(
  payload: Buffer | string,
  headers: Record<string, string>,
  { server }: Pick<ApiFixture, 'server'> = fixture,
) {
  return server.inject({
    method: 'POST',
    url: '/upload',
    payload,
    headers: { ...bearer(tokens.upload), ...headers },
  });
}

function part(name: string, content: string, field = 'file'): string {
  return `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${field}"; filename="${name}"\r\nContent-Type: text/plain\r\n\r\n${content}\r\n`;
}

function form(...files: readonly (readonly [name: string, content: string])[]): string {
  return `${files.map(([name, content]) => part(name, content)).join('')}--${BOUNDARY}--\r\n`;
}

async function expectNothing(of: ApiFixture = fixture): Promise<void> {
  expect(await countRows(of)).toEqual(noRows);
  expect(await filesBelow(of.folder)).toEqual([]);
}

async function eventually(check: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(20);
    }
  }
}

const refused: [name: string, body: string, code: string, headers?: Record<string, string>][] = [
  ['an empty file', '', 'EMPTY_UPLOAD', { 'content-type': 'text/plain' }],
  ['nothing at all', '', 'EMPTY_UPLOAD', {}],
  ['a form of empty files', form(['a', ''], ['b', '']), 'EMPTY_UPLOAD'],
  ['a form without files', `--${BOUNDARY}--\r\n`, 'EMPTY_UPLOAD'],
  ['a form without a boundary', form(['a', 'a']), 'FORM_BROKEN', { 'content-type': 'multipart/form-data' }],
  ['a form that is none', 'nothing of the kind', 'FORM_BROKEN'],
  ['a form that ends in a file', part('a', 'a').slice(0, -2), 'FORM_BROKEN'],
  ['a form that ends after a file', part('a', 'a'), 'FORM_BROKEN'],
  ['a form that ends in its second file', part('a', 'a') + part('b', 'b').slice(0, -9), 'FORM_BROKEN'],
  ['an empty form', '', 'FORM_BROKEN'],
  [
    'a part that is a field',
    `--${BOUNDARY}\r\nContent-Disposition: form-data; name="meta"\r\n\r\n{}\r\n${form(['a', 'a'])}`,
    'FORM_FIELD',
  ],
  [
    'a part that says nothing of itself, beside a file',
    `${part('a', 'a')}--${BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nlost\r\n--${BOUNDARY}--\r\n`,
    'FORM_BROKEN',
  ],
  [
    'a part whose head is too long, beside a file',
    `${part('a', 'a')}--${BOUNDARY}\r\nX: ${'x'.repeat(90_000)}\r\n${part('b', 'b').slice(BOUNDARY.length + 4)}--${BOUNDARY}--\r\n`,
    'FORM_BROKEN',
  ],
  ['a path that is there twice', form(['a/b', '1'], ['a/b', '2']), 'DUPLICATE_PATH'],
  ['a file in a file', form(['a', '1'], ['a/b', '2']), 'DUPLICATE_PATH'],
  ['a file where a directory is', form(['a/b', '1'], ['a', '2']), 'DUPLICATE_PATH'],
  ['a path that leads out', form(['../a', '1']), 'PATH_INVALID'],
  ['a path that is empty', form(['/./', '1']), 'PATH_INVALID'],
  ['a path that is too deep', form([`${'a/'.repeat(30_000)}x`, '1']), 'PATH_INVALID'],
  ['a name that is too long', form(['n'.repeat(100_000), '1']), 'PATH_INVALID'],
  ['a type that is none', 'x', 'UNSUPPORTED_MEDIA_TYPE', { 'content-type': 'text/plain', 'content-encoding': 'br' }],
];

test.each(refused)('%s is refused by name and leaves nothing', async (_name, body, code, headers = FORM) => {
  const response = await send(Buffer.from(body), headers);
  expect(response.json()).toMatchObject({ ok: false, error: { code } });
  expect([400, 415]).toContain(response.statusCode);
  await expectNothing();
});

test.each([
  ['a file', { 'content-type': 'video/mp4' }, ''],
  ['a form', FORM, part('film.mp4', '').slice(0, -2)],
])('%s whose sender goes away leaves nothing', async (_name, type, head) => {
  const headers = { ...bearer(tokens.upload), ...type };
  const client = httpRequest({ port, host: '127.0.0.1', method: 'POST', path: '/upload', headers });
  client.on('error', () => undefined);
  client.write(head);
  client.write(Buffer.alloc(5 * 1024 * 1024, 'x'));
  await eventually(async () => expect(await filesBelow(fixture.folder)).toHaveLength(1));
  client.destroy();
  await eventually(() => expectNothing());
});

test('the limits are those of a CAR', async () => {
  await using small = await apiFixture({ limits: { maxUploadBytes: 300_000n, maxBlocks: 20 } });
  const large = await send(Buffer.alloc(300_001), { 'content-type': 'image/png' }, small);
  expect([large.statusCode, large.json().error.code]).toEqual([413, 'UPLOAD_TOO_LARGE']);
  const many = Array.from({ length: 30 }, (_, at) => [`${at}`, `${at}`] as const);
  const blocks = await send(form(...many), FORM, small);
  expect([blocks.statusCode, blocks.json().error.code]).toEqual([413, 'TOO_MANY_BLOCKS']);
  await expectNothing(small);
});

/** What the nft.storage client (npm, 7.2.0) gives the same bytes; test/compat asks it anew where it is installed. */
const files: [bytes: number, type: Record<string, string>, cid: string][] = [
  [1, { 'content-type': 'image/png' }, 'bafkreibnoelefnzgwbcacyt4vh52ymxvzbjq7mmqhtcnwarfq4lzegsiqe'],
  [
    CHUNK,
    { 'content-type': 'application/octet-stream' },
    'bafkreigvbg77mqvdkp4ilaxivbdozlqedqztw6ofpj5cj7zrb663p2iu5e',
  ],
  [
    CHUNK + 1,
    { 'content-type': 'text/plain; charset=utf-8' },
    'bafybeigjxpfr7pbb35st2scup3gosnljuw4j3wu5cm7yndynm4asxugtqm',
  ],
  [CHUNK * 175, {}, 'bafybeibkiagf2wbwrwsbx7ujq5g6hyefwlxnlurgtsbfxs26yxy7n7exma'],
];

test.each(files)('a file of %i bytes, sent as %o', async (bytes, type, cid) => {
  const answer = (await send(Buffer.alloc(bytes, 'x'), type)).json();
  expect(answer).toMatchObject({ ok: true, value: { cid, pin: { cid, status: 'pinned' }, deals: [] } });
  const stored = fixture.kysely.selectFrom('uploads').selectAll().where('root', '=', cid);
  expect(await stored.executeTakeFirstOrThrow()).toMatchObject({ state: 'waiting' });
});

test('JSON is a file like any other, in gzip too', async () => {
  const json = { 'content-type': 'application/json' };
  const plain = await send('{"not": "sound"', json);
  const packed = await send(gzipSync('{"not": "sound"'), { ...json, 'content-encoding': 'gzip' });
  expect(plain.statusCode).toBe(200);
  expect(packed.json()).toEqual(plain.json());
});

test.each([
  [
    'files and folders',
    form(['a.txt', 'a'], ['below/b %22q%22 ü.txt', 'b'], ['below/empty', '']),
    'bafybeib55mvgdanpfjujm2slc7jedkxhqrgzrsgircfi4aqdruomzstj34',
  ],
  [
    'odd separators',
    form(['a\\b', 'a'], [' ./c/./d ', 'c']),
    'bafybeiaeyqi5elpjmuproyug57ftguwih4zvurwpw3qff5fppozfl2j7ze',
  ],
  [
    'as many as make a HAMT',
    form(...Array.from({ length: 1_000 }, (_, i) => [`${i}.txt`, `${i}`] as const)),
    'bafybeibsk3nm4aqjm6vn5cujh2copqmsgb6qvwhtil4h2c6rcrysctuh64',
  ],
])('a form is a directory: %s', async (_name, body, cid) => {
  const answer = (await send(Buffer.from(body), FORM)).json();
  expect(answer).toMatchObject({ ok: true, value: { cid, pin: { status: 'pinned' } } });
});

test.each([
  ['a file', { 'content-type': 'video/mp4' }, '', ''],
  ['a form', FORM, part('film.mp4', '').slice(0, -2), `\r\n--${BOUNDARY}--\r\n`],
])('%s that is large takes little memory', async (_name, type, head, tail) => {
  const headers = { ...bearer(tokens.upload), ...type };
  const client = httpRequest({ port, host: '127.0.0.1', method: 'POST', path: '/upload', headers });
  const response = once(client, 'response');
  client.write(head);
  const before = process.memoryUsage.rss();
  let most = 0;
  for (let sent = 0; sent < 300; sent += 1) {
    if (!client.write(Buffer.alloc(1024 * 1024, `${sent}`))) await once(client, 'drain');
    most = Math.max(most, process.memoryUsage.rss() - before);
  }
  client.end(tail);
  const [answer] = await response;
  answer.resume();
  expect(answer.statusCode).toBe(200);
  // The sender is in this process too.
  expect(most).toBeLessThan(150 * 1024 * 1024);
});

test('what is packed here fits the smallest piece, in parts', async () => {
  const MIB = 1n << 20n;
  const sent = await send(randomBytes(3 * Number(MIB)), { 'content-type': 'video/mp4' });
  const query = fixture.kysely.selectFrom('uploads').select('id').where('root', '=', sent.json().value.cid);
  const { id } = await query.executeTakeFirstOrThrow();
  const rules = { pieceBytes: MIB, minPieceBytes: MIB, minFillBytes: MIB / 2n };
  const deps = await stowDeps(fixture.database, fixture.deps.clock, rules);
  await cutUpload({ ...deps, store: fixture.store }, id, new AbortController().signal);
  const cuts = await fixture.kysely.selectFrom('cuts').select('run_bytes').where('upload_id', '=', id).execute();
  expect(cuts.length).toBeGreaterThan(3);
  for (const { run_bytes: runBytes } of cuts) expect(runBytes).toBeLessThan((MIB / 128n) * 127n);
});
