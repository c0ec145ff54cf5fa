import { readFile } from 'node:fs/promises';
import { CarReader } from '@ipld/car';
import { expect, test } from 'vitest';
import { apiFixture, bearer, tokens, type ApiFixture } from '../../support/api-fixture.ts';

/** The fixtures of ipfs/gateway-conformance at 22c76440 (fixtures/trustless_gateway_car), and what its tests ask for of them. */
async function sent(fixture: ApiFixture, name: string): Promise<string> {
  const car = await readFile(new URL(`../../vectors/gateway/${name}.car`, import.meta.url));
  const [root] = await (await CarReader.fromBytes(Buffer.from(car))).getRoots();
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  const answer = await fixture.server.inject({ method: 'POST', url: '/upload', payload: car, headers });
  expect([200, 202]).toContain(answer.statusCode);
  return String(root);
}

async function blocksAt(fixture: ApiFixture, url: string, headers: Record<string, string> = {}) {
  const answer = await fixture.server.inject({ url, headers: { ...bearer(tokens.read), ...headers } });
  expect([url, answer.statusCode, answer.statusCode === 200 ? '' : answer.body]).toEqual([url, 200, '']);
  const reader = await CarReader.fromBytes(answer.rawPayload);
  const cids: string[] = [];
  for await (const cid of reader.cids()) cids.push(cid.toString());
  return { cids, headers: answer.headers };
}

const SUBDIR_TWO = 'subdir-with-two-single-block-files';
const MIXED = 'subdir-with-mixed-block-files';
const HAMT = 'single-layer-hamt-with-multi-block-files';
const CBOR = 'dir-with-dag-cbor-with-links';
const DUPS = 'dir-with-duplicate-files';
const MISSING = 'file-3k-and-3-blocks-missing-block';

const ascii = 'bafkreifkam6ns4aoolg3wedr4uzrs3kvq66p4pecirz6y2vlrngla62mxm';
const hello = 'bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4';
const multi = 'bafybeigcisqd7m5nf3qmuvjdbakl5bdnh4ocrmacaqkpuh77qjvggmt2sa';
const chunks = [
  'bafkreie5noke3mb7hqxukzcy73nl23k6lxszxi5w3dtmuwz62wnvkpsscm',
  'bafkreih4ephajybraj6wnxsbwjwa77fukurtpl7oj7t7pfq545duhot7cq',
  'bafkreigu7buvm3cfunb35766dn7tmqyh2um62zcio63en2btvxuybgcpue',
  'bafkreicll3huefkc3qnrzeony7zcfo7cr3nbx64hnxrqzsixpceg332fhe',
  'bafkreifst3pqztuvj57lycamoi7z34b4emf7gawxs74nwrc2c7jncmpaqm',
];
const file = [multi, ...chunks];
const two = [
  'bafybeietjm63oynimmv5yyqay33nui4y4wx6u3peezwetxgiwvfmelutzu',
  'bafybeiggghzz6dlue3m6nb2dttnbrygxh3lrjl5764f2m4gq7dgzdt55o4',
];
const mixed = [
  'bafybeidh6k2vzukelqtrjsmd4p52cpmltd2ufqrdtdg6yigi73in672fwu',
  'bafybeicnmple4ehlz3ostv2sbojz3zhh5q7tz5r2qkfdpqfilgggeen7xm',
];
const hamtRoot = 'bafybeidbclfqleg2uojchspzd4bob56dqetqjsj27gy2cq3klkkgxtpn4i';
const document = [
  'bafybeia264q44a3kmfc2otctzu4egp2k235o3t7mslz2yjraymp4nv6asi',
  'bafyreidy4q6mmetut5jzc54ambsfnatbyoujmwbfzyyolqw24majazwgha',
];
const dups = 'bafybeihchr7vmgjaasntayyatmp5sv6xza57iy2h4xj7g46bpjij6yhrmy';
const part = [
  'QmYhmPjhFjYFyaoiuNzYv8WGavpSRDwdHWe5B4M5du5Rtk',
  'QmPKt7ptM2ZYSGPUc8PmPT2VBkLDK3iqpG9TBJY7PCE9rF',
  'QmWXY482zQdwecnfBsj78poUUuPXvyw2JAFAEMw4tzTavV',
];

const cases: { name: string; of: string; path: string; query?: string; expected: string[] }[] = [
  { name: 'a file on a path', of: SUBDIR_TWO, path: '/subdir/ascii.txt', expected: [...two, ascii] },
  { name: 'a directory, the block alone', of: SUBDIR_TWO, path: '/subdir', query: 'dag-scope=block', expected: two },
  {
    name: 'a file, the block alone',
    of: SUBDIR_TWO,
    path: '/subdir/ascii.txt',
    query: 'dag-scope=block',
    expected: [...two, ascii],
  },
  { name: 'a directory as an entity', of: SUBDIR_TWO, path: '', query: 'dag-scope=entity', expected: two.slice(0, 1) },
  {
    name: 'a file as an entity',
    of: MIXED,
    path: '/subdir/ascii.txt',
    query: 'dag-scope=entity',
    expected: [...mixed, ascii],
  },
  {
    name: 'a file of chunks as an entity',
    of: MIXED,
    path: '/subdir/multiblock.txt',
    query: 'dag-scope=entity',
    expected: [...mixed, ...file],
  },
  { name: 'DAG-CBOR as an entity', of: CBOR, path: '/document', query: 'dag-scope=entity', expected: document },
  {
    name: 'all of a directory',
    of: MIXED,
    path: '/subdir',
    query: 'dag-scope=all',
    expected: [...mixed, ascii, hello, ...file],
  },
  {
    name: 'all of a file of chunks',
    of: MIXED,
    path: '/subdir/multiblock.txt',
    query: 'dag-scope=all',
    expected: [...mixed, ...file],
  },
  {
    name: 'bytes before a missing block',
    of: MISSING,
    path: '',
    query: 'dag-scope=entity&entity-bytes=0:1000',
    expected: part.slice(0, 2),
  },
  {
    name: 'bytes behind a missing block',
    of: MISSING,
    path: '',
    query: 'dag-scope=entity&entity-bytes=2200:*',
    expected: [part[0] ?? '', part[2] ?? ''],
  },
  {
    name: 'all bytes',
    of: MIXED,
    path: '/subdir/multiblock.txt',
    query: 'dag-scope=entity&entity-bytes=0:*',
    expected: [...mixed, ...file],
  },
  ...(
    [
      ['512:*', 2, 5],
      ['512:1023', 2, 4],
      ['512:-256', 2, 4],
      ['-5:*', 3, 5],
      ['-9999:*', 0, 5],
      ['-9999:-3', 0, 4],
      ['0:0', 0, 1],
    ] as const
  ).map(([bytes, from, to]) => ({
    name: `bytes ${bytes}`,
    of: MIXED,
    path: '/subdir/multiblock.txt',
    query: `dag-scope=entity&entity-bytes=${bytes}`,
    expected: [...mixed, multi, ...chunks.slice(from, to)],
  })),
];

test.for(cases)('of $of: $name', async ({ of, path, query, expected }) => {
  await using fixture = await apiFixture();
  const root = await sent(fixture, of);
  const { cids } = await blocksAt(fixture, `/ipfs/${root}${path}?format=car${query === undefined ? '' : `&${query}`}`);
  expect(cids).toEqual(expected);
});

test('through DAG-CBOR: the link that the path names, and all below', async () => {
  await using fixture = await apiFixture();
  await sent(fixture, CBOR);
  const { cids } = await blocksAt(fixture, `/ipfs/${document[0]}/document/files/single?format=car`);
  expect(cids).toEqual([...document, hello]);
});

test('through a sharded directory: its shards on the way and no others; its listing has all shards and no file', async () => {
  await using fixture = await apiFixture();
  await sent(fixture, HAMT);
  const { cids } = await blocksAt(fixture, `/ipfs/${hamtRoot}/685.txt?format=car`);
  expect(cids[0]).toBe(hamtRoot);
  expect(cids).toHaveLength(2 + file.length);
  expect(cids.slice(2)).toEqual(file);
  const block = await blocksAt(fixture, `/ipfs/${hamtRoot}/1.txt?format=car&dag-scope=block`);
  expect(block.cids).toHaveLength(3);
  expect(block.cids[2]).toBe(multi);
  for (const query of ['', '&entity-bytes=0:*']) {
    const listing = await blocksAt(fixture, `/ipfs/${hamtRoot}?format=car&dag-scope=entity${query}`);
    // 243 blocks with the file, which all 1,000 names lead to, and its five chunks.
    expect(listing.cids).toHaveLength(243 - file.length);
    expect(listing.cids).not.toContain(multi);
    expect(listing.cids[1]).toBe('bafybeiaebmuestgbpqhkkbrwl2qtjtvs3whkmp2trkbkimuod4yv7oygni');
  }
});

test('order and repetitions, by Accept and by the query, which goes before', async () => {
  await using fixture = await apiFixture();
  await sent(fixture, DUPS);
  const once = [dups, ascii, hello, ...file];
  const often = [dups, ascii, ascii, hello, ...file];
  const car = 'application/vnd.ipld.car; version=1; order=dfs';
  const asked: [query: string, accept: string | undefined, expected: string[], type: string][] = [
    ['', `${car}; dups=y`, often, 'dups=y'],
    ['', `${car}; dups=n`, once, 'dups=n'],
    ['?format=car', `${car}; dups=y`, often, 'dups=y'],
    ['?format=car&car-dups=y', 'application/vnd.ipld.car; dups=n', often, 'dups=y'],
    ['?format=car&car-order=dfs', 'application/vnd.ipld.car; order=unk', once, 'order=dfs'],
    ['?format=car', 'application/vnd.ipld.raw', once, 'version=1; order=dfs; dups=n'],
    ['?format=car', undefined, once, 'version=1; order=dfs; dups=n'],
    ['', 'application/vnd.ipld.car;order=foo, application/vnd.ipld.car;order=dfs;dups=y;q=0.5', often, 'dups=y'],
  ];
  for (const [query, accept, expected, type] of asked) {
    const found = await blocksAt(fixture, `/ipfs/${dups}${query}`, accept === undefined ? {} : { accept });
    expect([accept, found.cids]).toEqual([accept, expected]);
    expect(found.headers['content-type']).toContain(type);
  }
  const any = await blocksAt(fixture, `/ipfs/${dups}`, { accept: 'application/vnd.ipld.car; version=1; order=unk' });
  expect(any.cids.toSorted()).toEqual(once.toSorted());
  expect(any.headers['content-type']).toContain('order=');
});

test('a CID that carries its block: no block comes; the probe is answered in every way', async () => {
  await using fixture = await apiFixture();
  const identity = 'bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa';
  const none = await blocksAt(fixture, `/ipfs/${identity}`, { accept: 'application/vnd.ipld.car; dups=y' });
  expect(none.cids).toEqual([]);
  expect(none.headers['content-type']).toContain('dups=y');
  const headers = bearer(tokens.read);
  const raw = await fixture.server.inject({ url: '/ipfs/bafkqaaa?format=raw', headers });
  expect([raw.statusCode, raw.rawPayload.length]).toEqual([200, 0]);
  const probe = await fixture.server.inject({ url: '/ipfs/bafkqaaa?format=car', headers });
  expect((await (await CarReader.fromBytes(probe.rawPayload)).getRoots()).map(String)).toEqual(['bafkqaaa']);
  for (const format of ['raw', 'car']) {
    const head = await fixture.server.inject({ method: 'HEAD', url: `/ipfs/bafkqaaa?format=${format}`, headers });
    expect([head.statusCode, head.body]).toEqual([200, '']);
  }
});
