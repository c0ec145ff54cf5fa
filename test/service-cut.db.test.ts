import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CarBlockIterator } from '@ipld/car';
import * as dagPb from '@ipld/dag-pb';
import { Piece } from '@web3-storage/data-segment';
import { expect, test } from 'vitest';
import { verify } from '../src/cli/verify.ts';
import { readConfig, type Config } from '../src/config.ts';
import { silentLog } from '../src/log/log.ts';
import { startService } from '../src/service.ts';
import { checkEverything } from './checker/check-everything.ts';
import { car, pbNode, rawBlock, type Block } from './support/car-builder.ts';
import { testDatabase } from './support/database.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const OPS = 'an-ops-token-of-the-test';
const UPLOAD = 'an-upload-token-of-the-test';
const READ = 'a-read-token-of-the-test';

/** 3.5 MiB in blocks of up to 32 KiB under two levels of directories. */
function largeUpload() {
  const leaves = Array.from({ length: 140 }, (_, at) => rawBlock(Buffer.alloc(22_000 + at * 60, `leaf ${at} `)));
  const groups = Array.from({ length: 7 }, (_, at) => leaves.slice(at * 20, at * 20 + 20));
  const nodes = groups.map((group) => pbNode(group));
  const root = pbNode(nodes);
  const blocks: Block[] = [root, ...groups.flatMap((group, at) => [...nodes.slice(at, at + 1), ...group])];
  return { root: root.cid, blocks, bytes: car([root.cid], blocks) };
}

/** A database and a folder; services come and go on them. */
async function world() {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await testDatabase());
  const folder = stack.use(await temporaryFolder());
  const configWith = (env: Record<string, string>) =>
    readConfig({
      API_TOKENS: `operator:ops:${OPS},service:upload:${UPLOAD},viewer:read:${READ}`,
      DATABASE_URL: database.url,
      TOKEN_SECRET: 'a secret of at least 32 characters',
      DATA_DIR: folder.path,
      MAX_UPLOAD_SIZE: '256GiB',
      MIN_FREE_SPACE: '0',
      PORT: '0',
      ...env,
    });
  return { database, configWith, folder: folder.path, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

type World = Awaited<ReturnType<typeof world>>;
type Ask = (path: string, token: string, options?: RequestInit) => Promise<Response>;

async function start(config: Config) {
  const service = await startService(config, { log: silentLog, signal: new AbortController().signal });
  const ask: Ask = async (path, token, options = {}) => {
    const headers = new Headers(options.headers);
    headers.set('authorization', `Bearer ${token}`);
    return fetch(`${service.url}${path}`, { ...options, headers });
  };
  return { ask, url: service.url ?? '', [Symbol.asyncDispose]: () => service.stop() };
}

async function uploadState({ database }: World): Promise<string> {
  return (await database.kysely.selectFrom('uploads').select('state').executeTakeFirstOrThrow()).state;
}

/** Seals what is open still, on an operator's word; answers all aggregates once they are sealed. */
async function sealAll({ database }: World, ask: Ask) {
  const aggregates = () => database.kysely.selectFrom('aggregates').selectAll().orderBy('id').execute();
  for (const { id, state } of await aggregates()) {
    // One that is full is sealed by itself, maybe just now.
    if (state === 'open')
      expect([200, 409]).toContain((await ask(`/aggregates/${id}/seal`, OPS, { method: 'POST' })).status);
  }
  const isSealed = async () => (await aggregates()).every(({ state }) => state === 'sealed');
  await expect.poll(isSealed).toBe(true);
  return aggregates();
}

async function readPiece(ask: Ask, pieceCid: string): Promise<Map<string, Uint8Array>> {
  const response = await ask(`/piece/${pieceCid}`, OPS);
  expect(response.status).toBe(200);
  const bytes = new Uint8Array(await response.arrayBuffer());
  expect(Piece.fromPayload(bytes).toInfo().link.toString()).toBe(pieceCid);
  const blocks = new Map<string, Uint8Array>();
  for await (const block of await CarBlockIterator.fromBytes(bytes)) blocks.set(block.cid.toString(), block.bytes);
  return blocks;
}

function walk(blocks: ReadonlyMap<string, Uint8Array>, batchRoot: string, selector: string): string | undefined {
  let at: string | undefined = batchRoot;
  for (const [, step] of selector.matchAll(/Links\/(\d+)\/Hash/g)) {
    at = dagPb.decode(blocks.get(at ?? '') ?? new Uint8Array()).Links[Number(step)]?.Hash.toString();
  }
  return at;
}

test('an upload larger than an aggregate goes through the service in parts, and verifies from its CAR', async () => {
  await using own = await world();
  const { root, blocks, bytes } = largeUpload();
  expect(bytes.length).toBeGreaterThan(3.5 * 2 ** 20);
  await using service = await start(own.configWith({ PIECE_SIZE: '1MiB' }));
  const { ask } = service;
  const headers = { 'content-type': 'application/vnd.ipld.car' };
  const sent = await ask('/upload', UPLOAD, { method: 'POST', body: new Uint8Array(bytes), headers });
  expect([sent.status, await sent.text()]).toEqual([200, expect.stringContaining(root.toString())]);
  await expect.poll(() => uploadState(own)).toBe('stowed');
  const sealed = await sealAll(own, ask);
  expect(sealed.length).toBeGreaterThan(3);
  const check = (await (await ask(`/check/${root}`, READ)).json()) as { value: { queueing: object } };
  const parts = { placed: sealed.length, total: sealed.length };
  expect(check.value.queueing).toMatchObject({ reason: 'waiting_for_provider', parts });

  const together = new Map<string, Uint8Array>();
  for (const { piece_cid: pieceCid, batch_root: batchRoot } of sealed) {
    const found = await readPiece(ask, pieceCid ?? '');
    const lines = await (await ask(`/aggregates/${pieceCid}/entries`, READ)).text();
    const entry = JSON.parse(lines) as { root: string; selector: string; partial: boolean };
    expect(entry).toMatchObject({ root: root.toString(), partial: true });
    expect(walk(found, batchRoot ?? '', entry.selector)).toBe(root.toString());
    for (const [name, block] of found) together.set(name, block);
  }
  for (const { cid, bytes: block } of blocks) {
    expect(Buffer.compare(together.get(cid.toString()) ?? Buffer.alloc(0), block)).toBe(0);
  }

  const file = join(own.folder, 'upload.car');
  await writeFile(file, bytes);
  const lines: string[] = [];
  const { signal } = new AbortController();
  const io = {
    env: {},
    print: (line: string) => void lines.push(line),
    say: () => undefined,
    isTerminal: false,
    signal,
  };
  expect([await verify.run([file, '--url', service.url, '--token', READ], io), lines.join('\n')]).toEqual([
    0,
    expect.stringContaining(`of ${root} lie in the piece`),
  ]);
  expect(lines.filter((line) => line.startsWith('proven:') && line.includes(' others not) '))).toHaveLength(
    sealed.length,
  );
  expect(lines).toContain(`proven: together the ${sealed.length} parts hold all blocks of the CAR`);
  expect(await checkEverything({ databaseUrl: own.database.url, store: join(own.folder, 'store') })).toEqual([]);
});
