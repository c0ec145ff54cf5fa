import { readdir } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { checkDatabase, checkStuck } from '../../src/doctor/check-database.ts';
import { checkEndpoint, checkWallet } from '../../src/doctor/check-chain.ts';
import { checkPublicUrl } from '../../src/doctor/check-public-url.ts';
import { checkDamage, checkRoom, checkStore } from '../../src/doctor/check-store.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import type { Chain } from '../../src/chain/chain.ts';
import { doctor } from '../../src/cli/doctor.ts';
import { readConfig } from '../../src/config.ts';
import { diagnose } from '../../src/doctor/doctor.ts';
import { LadingError } from '../../src/errors.ts';
import { networks } from '../../src/filecoin/networks.ts';
import { openLocalStore } from '../../src/storage/local-store.ts';
import type { ObjectStore } from '../../src/storage/store.ts';
import { HOUR_MS, insertBareUpload, never, START } from '../aggregate/aggregate-fixture.ts';
import { gather } from '../support/gather.ts';
import { testDatabase } from '../support/database.ts';
import { sendResult, serveRpc } from '../support/rpc-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

function verdicts(findings: Finding[]): string[] {
  return findings.map(({ check, ok }) => `${ok ? 'ok' : 'wrong'} ${check}`);
}

test('a database as it should be, and one that lacks a migration', async () => {
  await using db = await testDatabase();
  const all = ['ok database.version', 'ok database.migrations', 'ok database.connections'];
  expect(verdicts(await checkDatabase(db.kysely))).toEqual(all);
  await db.pool.query('delete from schema_migrations where version = (select max(version) from schema_migrations)');
  const found = await checkDatabase(db.kysely);
  expect(verdicts(found)[1]).toBe('wrong database.migrations');
  expect(found[1]?.advice).toContain('lading migrate');
  await db.pool.query('drop table schema_migrations');
  expect(verdicts(await checkDatabase(db.kysely))).toEqual(['wrong database']);
});

test('a store that works leaves nothing behind; one that fails or lies is told', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  expect(verdicts(await checkStore(store))).toEqual(['ok store']);
  expect(await gather(store.list())).toEqual([]);
  const other = (changes: Partial<ObjectStore>): ObjectStore => ({
    stage: (key) => store.stage(key),
    read: (key, offset, length) => store.read(key, offset, length),
    size: (key) => store.size(key),
    remove: (key) => store.remove(key),
    list: () => store.list(),
    freeBytes: () => store.freeBytes(),
    ...changes,
  });
  const refusing = other({ stage: () => Promise.reject(new LadingError('STORE_UNAVAILABLE', 'answered 503')) });
  expect(await checkStore(refusing)).toMatchObject([{ ok: false, text: 'answered 503' }]);
  async function* lies(_key: string, _offset: number, length: number) {
    yield new Uint8Array(length);
  }
  expect(await checkStore(other({ read: lies }))).toMatchObject([{ ok: false, text: /other bytes/ }]);
  expect(await checkStore(other({ remove: async () => undefined }))).toMatchObject([
    { ok: false, text: /still there/ },
  ]);
});

test('too little room, and a quota that is used up', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  const input = { store, db: db.kysely };
  expect(verdicts(await checkRoom(input, { minFreeBytes: 1n, quotaBytes: 1_000n }))).toEqual([
    'ok store.free',
    'ok store.quota',
  ]);
  await insertBareUpload(db.kysely, 'large', 1_000);
  expect(verdicts(await checkRoom(input, { minFreeBytes: 2n ** 62n, quotaBytes: 1_000n }))).toEqual([
    'wrong store.free',
    'wrong store.quota',
  ]);
});

test('damage and what is stuck are told with what to do', async () => {
  await using db = await testDatabase();
  const id = await insertBareUpload(db.kysely, 'old', 1_000);
  const rule = { now: new Date(START.getTime() + 48 * HOUR_MS), forceAgeMs: 48 * HOUR_MS };
  expect(verdicts(await checkStuck(db.kysely, rule))).toEqual(['ok stuck.uploads', 'ok stuck.aggregates']);
  const later = { ...rule, now: new Date(START.getTime() + 50 * HOUR_MS) };
  expect(verdicts(await checkStuck(db.kysely, later))).toEqual(['wrong stuck.uploads', 'ok stuck.aggregates']);
  expect(verdicts(await checkDamage(db.kysely))).toEqual(['ok damage']);
  const range = { object_key: 'runs/old', object_offset: 0n, length_bytes: 1_000n };
  await db.kysely
    .insertInto('damage')
    .values({ ...range, upload_id: id, what: 'bad hash', found_at: START })
    .execute();
  expect(await checkDamage(db.kysely)).toMatchObject([{ ok: false, text: /runs\/old.*bad hash/, advice: /restore/ }]);
});

const HEAD_SECONDS = (networks.calibration.genesisSeconds ?? 0) + 3_000_000;

function chainWith(changes: Partial<Chain>): Chain {
  const tipset = (timestampSeconds: number) => async () => ({ key: ['bafy'], height: 100_000, timestampSeconds });
  const answers: Partial<Chain> = {
    genesis: tipset(networks.calibration.genesisSeconds ?? 0),
    head: tipset(HEAD_SECONDS),
    networkName: async () => 'calibrationnet',
    dealEvents: async () => [],
    lookupId: async () => 'f01234',
    marketBalance: async () => ({ escrow: 5n, locked: 1n }),
    verifiedClientStatus: async () => undefined,
    ...changes,
  };
  return answers as Chain;
}

test('an endpoint: its network, its lag, its events', async () => {
  const look = (chain: Chain, lagSeconds = 30) =>
    checkEndpoint({
      name: 'node',
      chain,
      network: 'calibration',
      now: new Date((HEAD_SECONDS + lagSeconds) * 1_000),
      signal: never,
    });
  const all = ['ok chain node', 'ok chain.lag node', 'ok chain.events node'];
  expect(verdicts(await look(chainWith({})))).toEqual(all);
  expect(verdicts(await look(chainWith({}), 3_600))[1]).toBe('wrong chain.lag node');
  const noEvents = chainWith({ dealEvents: () => Promise.reject(new Error('method not found')) });
  expect(verdicts(await look(noEvents))[2]).toBe('wrong chain.events node');
  const foreign = chainWith({ genesis: async () => ({ key: ['bafy'], height: 0, timestampSeconds: 1 }) });
  expect(verdicts(await look(foreign))).toEqual(['wrong chain node']);
  const gone = chainWith({ genesis: () => Promise.reject(new Error('connect ECONNREFUSED')) });
  expect(await look(gone)).toMatchObject([{ ok: false, text: 'connect ECONNREFUSED' }]);
});

test('a wallet without an actor, money or DataCap', async () => {
  const wallet = { address: async () => 'f1abc', sign: () => Promise.reject(new Error('never')) };
  const look = (chain: Chain | undefined, verified: boolean) => checkWallet(wallet, chain, { verified, signal: never });
  expect(verdicts(await look(undefined, false))).toEqual(['ok wallet']);
  expect(verdicts(await look(chainWith({}), false))).toEqual(['ok wallet', 'ok wallet.market', 'ok wallet.datacap']);
  expect(verdicts(await look(chainWith({}), true))[2]).toBe('wrong wallet.datacap');
  const poor = chainWith({ marketBalance: async () => ({ escrow: 1n, locked: 1n }) });
  expect(verdicts(await look(poor, false))[1]).toBe('wrong wallet.market');
  expect(verdicts(await look(chainWith({ lookupId: async () => undefined }), false))).toEqual(['wrong wallet']);
});

test('a public address of this machine alone, or where nobody answers', async () => {
  const input = { publicUrl: undefined, listeningUrl: 'http://127.0.0.1:1', signal: never };
  expect(await checkPublicUrl({ ...input, needsReach: true })).toMatchObject([
    { ok: false, text: /this machine alone/ },
  ]);
  expect(await checkPublicUrl({ ...input, needsReach: false })).toMatchObject([{ ok: false, text: /does not answer/ }]);
});

test('where no database was made yet none is made', async () => {
  await using folder = await temporaryFolder();
  const lines: string[] = [];
  const print = (line: string) => void lines.push(line);
  const env = { DATA_DIR: folder.path, CHAIN_NETWORK: 'devnet', PORT: '1' };
  expect(await doctor.run([], { env, print, say: () => undefined, isTerminal: false, signal: never })).toBe(1);
  expect(lines).toContain(
    `WRONG database: DATA_DIR=${folder.path} holds no database: lading serve makes it at its first start`,
  );
  expect(await readdir(folder.path)).not.toContain('postgres');
});

test('the command says all of it as JSON and ends with 1 while something is wrong', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const lines: string[] = [];
  const io = {
    env: { DATABASE_URL: db.url, DATA_DIR: folder.path, CHAIN_NETWORK: 'devnet', PORT: '1' },
    print: (line: string) => void lines.push(line),
    say: () => undefined,
    isTerminal: false,
    signal: never,
  };
  expect(await doctor.run(['--json', '--scrub'], io)).toBe(1);
  const { ok, findings } = JSON.parse(lines.join('\n')) as { ok: boolean; findings: Finding[] };
  expect(ok).toBe(false);
  expect(findings.filter((finding) => !finding.ok).map(({ check }) => check)).toEqual(['public url']);
  expect(findings.map(({ check }) => check)).toContain('scrub');
  expect(findings.find(({ check }) => check === 'damage')?.text).toMatch(/; all was read last by 20/);
  // Nothing can be reached: each is told, and none hides the others.
  lines.length = 0;
  const broken = {
    ...io,
    env: { ...io.env, DATABASE_URL: 'postgres://127.0.0.1:1/none', STORE_URL: 'file:///dev/null/none' },
  };
  expect(await doctor.run([], broken)).toBe(1);
  expect(lines.join('\n')).toMatch(/WRONG database: /);
  expect(lines.join('\n')).toMatch(/WRONG store: /);
  expect(lines.join('\n')).not.toContain('Error:');
});

test('an address of this machine alone is enough where nothing is proposed', async () => {
  await using silent = await serveRpc((_, response) => sendResult(response, null));
  const reach = async (env: Record<string, string>) => {
    const config = readConfig({ PUBLIC_URL: 'http://127.0.0.1:1', ...env }, 'tool');
    const found = await diagnose({
      config,
      clock: { now: () => START },
      signal: never,
      db: undefined,
      store: undefined,
    });
    return found.find(({ check }) => check === 'public url')?.text;
  };
  const wallet = { WALLET: 'file:/nowhere/at/all' };
  expect(await reach({})).toMatch(/does not answer/);
  expect(await reach(wallet)).toMatch(/does not answer/);
  expect(await reach({ ...wallet, CHAIN_RPC_URL: silent.url })).toMatch(/this machine alone/);
});
