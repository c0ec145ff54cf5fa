import { createHash, randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { releaseAll } from '../../src/aggregate/keep/release/release.ts';
import { readConfig } from '../../src/config.ts';
import type { Database } from '../../src/db/connect.ts';
import { letRestoredGo } from '../../src/deals/restore/restore-store.ts';
import { createWalletFile } from '../../src/deals/wallet/local-wallet.ts';
import { createDevnet, type Devnet } from '../../src/devnet/devnet.ts';
import { personaOf } from '../../src/devnet/provider/provider-persona.ts';
import { openJobSender } from '../../src/jobs/jobs.ts';
import { silentLog } from '../../src/log/log.ts';
import { startService } from '../../src/service.ts';
import { openLocalStore } from '../../src/storage/local-store.ts';
import { car, rawBlock } from '../support/car-builder.ts';
import { testDatabase } from '../support/database.ts';
import { filesBelow, temporaryFolder } from '../support/temporary-folder.ts';

const OPS = 'operator-token-of-the-test';
const UPLOAD = 'upload-token-of-the-test';
const clock = { now: () => new Date() };
const never = new AbortController().signal;
const LIMIT_MS = 120_000;

async function call(url: string, body: object, method = 'POST'): Promise<void> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${OPS}` };
  const response = await fetch(url, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
}

/** Of the size that the smallest verified piece is for. */
async function upload(url: string): Promise<void> {
  const block = rawBlock(Buffer.alloc(600_000, createHash('sha512').update('what is to be kept').digest()));
  const headers = { authorization: `Bearer ${UPLOAD}`, 'content-type': 'application/vnd.ipld.car' };
  const body = Uint8Array.from(car([block.cid], [block]));
  const response = await fetch(`${url}/upload`, { method: 'POST', headers, body });
  if (!response.ok) throw new Error(`upload: ${response.status} ${await response.text()}`);
}

async function until<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  for (const end = Date.now() + LIMIT_MS; Date.now() < end; await sleep(200)) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
  }
  throw new Error(`${what}: not in time`);
}

async function dealsOf({ kysely }: Database) {
  return await kysely.selectFrom('deals').select(['id', 'provider_id', 'state', 'slot', 'chain_deal_id']).execute();
}

async function untilActive(database: Database, count: number) {
  return await until(`${count} active`, async () => {
    const active = (await dealsOf(database)).filter(({ state }) => state === 'active');
    return active.length === count && active;
  }).catch(async (error: unknown) => {
    throw new Error(
      `${String(error)} ${JSON.stringify(await dealsOf(database), (_, value: unknown) => String(value))}`,
    );
  });
}

async function reasonsOf({ kysely }: Database): Promise<string[]> {
  const { rows } = await sql<{ code: string; detail: string | null }>`
    select reason_code as code, detail from events where aggregate_id is not null and reason_code ~ 'BYTES|RESTORE'
    order by position`.execute(kysely);
  return rows.map(({ code, detail }) => (detail === null ? code : `${code} ${detail}`));
}

async function startDevnet(client: string): Promise<Devnet> {
  const kinds = ['normal', 'curio', 'normal', 'normal', 'curio'] as const;
  const personas = kinds.map((name) => ({ ...personaOf(name), sealEpochs: 20, publishBatchEpochs: 1 }));
  const devnet = await createDevnet({ personas, epochMs: 100, seed: 'restore' });
  await call(`${devnet.url}/devnet/fund`, { address: client, fil: '1000', datacap: String(2 ** 40) });
  return devnet;
}

test('bytes that were released are fetched back from a living provider, and a lost replica is made anew', {
  timeout: 300_000,
}, async () => {
  await using database = await testDatabase();
  await using folder = await temporaryFolder();
  const dataDir = join(folder.path, 'data');
  await mkdir(dataDir);
  const walletFile = join(folder.path, 'wallet.key');
  const client = await createWalletFile(walletFile, 'secp256k1', randomBytes);
  await using devnet = await startDevnet(client);
  const env = {
    DATABASE_URL: database.url,
    DATA_DIR: dataDir,
    HOST: '127.0.0.1',
    PORT: '0',
    TOKEN_SECRET: 'the-secret-of-the-piece-tokens-of-this-test',
    API_TOKENS: `tester:upload:${UPLOAD},operator:ops:${OPS}`,
    CHAIN_NETWORK: 'devnet',
    CHAIN_RPC_URL: devnet.rpcUrl,
    WALLET: `file:${walletFile}`,
    PIECE_SIZE: '1MiB',
    MIN_PIECE_SIZE: '1MiB',
    MAX_AGE: '1s',
    FORCE_AGE: '2s',
    LOOKBACK_EPOCHS: '2',
  };
  await using service = await startService(readConfig(env), { log: silentLog, signal: never });
  const url = service.url ?? '';
  const { kysely } = database;
  const storeFolder = join(dataDir, 'store');
  const store = await openLocalStore(storeFolder);
  for (const { id } of devnet.providers) await call(`${url}/providers`, { id });
  const first = devnet.providers.slice(0, 3).map(({ id }) => id);
  await call(`${url}/policy`, { replicas: 3, start_delay: 900, allow_providers: first.join() }, 'PUT');
  await upload(url);
  const active = await untilActive(database, 3);
  const [boost = '', curio = '', lost = ''] = first;

  await until(
    'release',
    async () => (await releaseAll({ db: kysely, store, clock, log: silentLog, retentionMs: 0 }, never)) === 1,
  );
  for await (const { key } of store.list()) if (!key.startsWith('proofs/')) await store.remove(key);

  // Both that are left serve what is not the piece, and nothing may come of it.
  await call(`${devnet.url}/devnet/faults`, {
    provider: { [boost]: { wrongPieces: true }, [curio]: { shortPieces: true } },
  });
  await call(`${url}/policy`, { allow_providers: 'none' }, 'PUT');
  const { chain_deal_id: dealId } = active.find(({ provider_id: id }) => id === lost) ?? {};
  await call(`${devnet.url}/devnet/terminate`, { dealId: Number(dealId) });
  await until('failed', async () => (await reasonsOf(database)).length === 2);
  const [released, failed = ''] = await reasonsOf(database);
  expect(released).toBe('BYTES_RELEASED');
  expect(failed).toMatch(/^RESTORE_FAILED /);
  expect(failed).toMatch(new RegExp(`${boost}: wrong_piece: `));
  expect(failed).toMatch(new RegExp(`${curio}: wrong_size: `));
  expect((await filesBelow(storeFolder)).filter((name) => !name.includes('proofs'))).toEqual([]);
  expect(await dealsOf(database)).toHaveLength(3);

  // They mend it, and an hour goes by.
  await call(`${devnet.url}/devnet/faults`, { provider: { [boost]: null, [curio]: null } });
  const hour = { next_at: clock.now() };
  const { aggregate_id: id } = await kysely
    .updateTable('restorations')
    .set(hour)
    .returning('aggregate_id')
    .executeTakeFirstOrThrow();
  await using jobs = await openJobSender({ url: database.url, clock, log: silentLog });
  await kysely.transaction().execute((trx) => jobs.send(trx, 'restore', { aggregateId: id.toString() }));
  const healed = await untilActive(database, 3);
  expect(new Set(healed.map(({ slot }) => slot)).size).toBe(3);
  expect(healed.map(({ provider_id: provider }) => provider)).not.toContain(lost);
  expect((await reasonsOf(database)).slice(2)).toEqual(['BYTES_RESTORED']);
  const fetched = await kysely.selectFrom('restorations').selectAll().executeTakeFirstOrThrow();
  expect([boost, curio]).toContain(fetched.provider_id);

  expect(await letRestoredGo(kysely, clock.now(), { changedBefore: clock.now(), limit: 10 })).toBe(1);
  expect((await reasonsOf(database)).slice(2)).toEqual(['BYTES_RESTORED', 'BYTES_RELEASED']);
});
