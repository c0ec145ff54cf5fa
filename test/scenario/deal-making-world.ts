import { createHash, randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { readConfig } from '../../src/config.ts';
import type { Database } from '../../src/db/connect.ts';
import { retryDeal } from '../../src/deals/act-on-deal.ts';
import { setAsk } from '../../src/deals/providers/provider-store.ts';
import { callOffStalled } from '../../src/deals/send/call-off.ts';
import { createWalletFile } from '../../src/deals/wallet/local-wallet.ts';
import { createDevnet, type Devnet } from '../../src/devnet/devnet.ts';
import { personaOf, type PersonaName, type PersonaPatch } from '../../src/devnet/provider/provider-persona.ts';
import { openJobSender } from '../../src/jobs/jobs.ts';
import { createLog, silentLog } from '../../src/log/log.ts';
import { startService } from '../../src/service.ts';
import { wakeProposals } from '../../src/running/wake-proposals.ts';
import { car, rawBlock } from '../support/car-builder.ts';
import { freePort } from './network.ts';

export const REPLICAS = 5;
/** The smallest piece that a verified deal takes. */
export const PIECE_BYTES = 2 ** 20;
/** Of bytes and proposals that one provider has in hand, and of one region's replicas. */
export const MAX_IN_FLIGHT_BYTES = 12 * PIECE_BYTES;
export const MAX_PER_REGION = 2;
const REGIONS = ['Antarctica', 'Baja', 'Chubut', 'Dalarna'];
const TOKENS = { upload: 'upload-token-of-the-test', ops: 'operator-token-of-the-test' };
const EPOCH_MS = 100;
/** So near does a provider of the devnet take a start; Boost's usual day would take minutes here. */
const SEAL_EPOCHS = 20;
/** The shortest wait that a policy takes is a minute: who calls off has a clock that is ahead by most of it. */
const CALL_OFF_AHEAD_MS = 48_000;
const HASTEN_MS = 1_500;
const ASK_AFTER_MS = 4_000;
const ASK_AT_ONCE = 20;

export interface WorldOptions {
  folder: string;
  seed: string;
  database: Database;
  personas: readonly { name: PersonaName; patch?: PersonaPatch }[];
  startDelayEpochs: number;
  dataCapBytes: number;
}

export interface DealWorld extends AsyncDisposable {
  devnet: Devnet;
  /** Folder of stored bytes. */
  store: string;
  /** What a process of the deals role is started with, beside its own PORT. */
  dealsEnv: Record<string, string>;
  /** By provider id. */
  personas: ReadonlyMap<string, PersonaName>;
  /** Every proposal that any provider received, in order. */
  proposals: { provider: string; deal: string; signedProposal: string }[];
  /** Sends small uploads, each of which becomes a sealed aggregate of its own. */
  seal(count: number): Promise<void>;
  /** Providers with their labels and asks, and the policy. */
  prepare(): Promise<void>;
  addDataCap(bytes: number): Promise<void>;
}

/** A devnet, a service that receives, seals and serves pieces, and all that a process of the deals role needs beside. */
export async function startDealWorld(options: WorldOptions): Promise<DealWorld> {
  const { folder, seed, database, personas } = options;
  await using stack = new AsyncDisposableStack();
  const proposals: DealWorld['proposals'] = [];
  const devnet = stack.use(
    await createDevnet({
      personas: personas.map(({ name, patch }) => ({ ...personaOf(name), sealEpochs: SEAL_EPOCHS, ...patch })),
      epochMs: EPOCH_MS,
      seed,
      onProposal: (provider, deal, bytes) =>
        void proposals.push({ provider, deal, signedProposal: Buffer.from(bytes).toString('hex') }),
    }),
  );
  const dataDir = join(folder, 'data');
  await mkdir(dataDir);
  const walletFile = join(folder, 'wallet.key');
  const client = await createWalletFile(walletFile, 'secp256k1', randomBytes);
  await post(`${devnet.url}/devnet/fund`, { address: client, fil: '1000', datacap: String(options.dataCapBytes) });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const env = environment({ ...options, dataDir, walletFile, rpcUrl: devnet.rpcUrl, url });
  const steady = { ...env, PORT: String(port), ROLES: 'api,aggregate' };
  const log = createLog(process.env['LADING_LOG'] === undefined ? 'silent' : 'warn');
  const signal = AbortSignal.timeout(2 ** 31 - 1);
  const service = await startService(readConfig(steady), { log, signal });
  stack.defer(() => service.stop());
  stack.use(await hasten(database));
  const ids = new Map(devnet.providers.map(({ id }, at) => [id, personas[at]?.name ?? 'normal']));
  let sealed = 0;
  const owned = stack.move();
  return {
    devnet,
    store: join(dataDir, 'store'),
    dealsEnv: { ...env, ROLES: 'api,deals,watch' },
    personas: ids,
    proposals,
    async seal(count) {
      for (let more = 0; more < count; more += 1) await upload(url, `${seed}/${sealed + more}`);
      sealed += count;
      await untilSealed(database, sealed);
    },
    prepare: () => prepare({ url, database, devnet, startDelayEpochs: options.startDelayEpochs }),
    addDataCap: (bytes) => post(`${devnet.url}/devnet/fund`, { address: client, datacap: String(bytes) }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Setting {
  database: Database;
  dataDir: string;
  walletFile: string;
  rpcUrl: string;
  url: string;
}

function environment({ database, dataDir, walletFile, rpcUrl, url }: Setting): Record<string, string> {
  return {
    DATABASE_URL: database.url,
    DATA_DIR: dataDir,
    PUBLIC_URL: url,
    TOKEN_SECRET: 'the-secret-of-the-piece-tokens-of-this-test',
    API_TOKENS: `tester:upload:${TOKENS.upload},operator:ops:${TOKENS.ops}`,
    CHAIN_NETWORK: 'devnet',
    CHAIN_RPC_URL: rpcUrl,
    WALLET: `file:${walletFile}`,
    PIECE_SIZE: '1MiB',
    MIN_PIECE_SIZE: '1MiB',
    MAX_AGE: '1s',
    FORCE_AGE: '2s',
    LOOKBACK_EPOCHS: '2',
    LOG_LEVEL: process.env['LADING_LOG'] ?? 'warn',
  };
}

/**
 * What takes minutes in a life goes by in seconds here: stalled transfers are called off by one whose clock is ahead,
 * and an operator asks without a pause how deals stand, and wakes what waits for a timer.
 */
async function hasten({ kysely, url }: Database): Promise<AsyncDisposable> {
  const clock = { now: () => new Date() };
  const ahead = { now: () => new Date(Date.now() + CALL_OFF_AHEAD_MS) };
  const jobs = await openJobSender({ url, clock, log: silentLog });
  const stopping = new AbortController();
  const round = async () => {
    await callOffStalled({ db: kysely, jobs, clock: ahead, random: () => 0, log: silentLog });
    const soon = new Date(Date.now() - ASK_AFTER_MS);
    const accepted = await kysely
      .selectFrom('deals')
      .select('id')
      .where('state', '=', 'accepted')
      .where('changed_at', '<', soon)
      .where((eb) => eb.or([eb('said_at', 'is', null), eb('said_at', '<', soon)]))
      .limit(ASK_AT_ONCE)
      .execute();
    for (const { id } of accepted) {
      // It may have gone on meanwhile: then there is nothing to ask.
      await retryDeal({ db: kysely, jobs, clock }, id, { by: 'the test' }).catch(() => undefined);
    }
    await wakeProposals(kysely, jobs);
  };
  const rounds = (async () => {
    while (!stopping.signal.aborted) {
      await round();
      await sleep(HASTEN_MS);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await rounds;
      await jobs[Symbol.asyncDispose]();
    },
  };
}

async function post(url: string, body: object, method = 'POST'): Promise<void> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${TOKENS.ops}` };
  const response = await fetch(url, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
}

/** 600 KB: two of them do not fit in an aggregate, and one fills it well enough. */
async function upload(url: string, seed: string): Promise<void> {
  const bytes = Buffer.alloc(600_000, createHash('sha512').update(seed).digest());
  const block = rawBlock(bytes);
  const headers = { authorization: `Bearer ${TOKENS.upload}`, 'content-type': 'application/vnd.ipld.car' };
  const body = Uint8Array.from(car([block.cid], [block]));
  const response = await fetch(`${url}/upload`, { method: 'POST', headers, body });
  if (!response.ok) throw new Error(`upload: ${response.status} ${await response.text()}`);
}

async function untilSealed({ kysely }: Database, count: number): Promise<void> {
  for (;;) {
    const { sealed } = await kysely
      .selectFrom('aggregates')
      .select(sql<number>`count(*) filter (where state = 'sealed')::integer`.as('sealed'))
      .executeTakeFirstOrThrow();
    if (sealed >= count) return;
    await sleep(200);
  }
}

interface Preparing {
  url: string;
  database: Database;
  devnet: Devnet;
  startDelayEpochs: number;
}

async function prepare({ url, database, devnet, startDelayEpochs }: Preparing): Promise<void> {
  const policy = {
    replicas: REPLICAS,
    verified: true,
    start_delay: startDelayEpochs,
    call_off_after: 60,
    max_in_flight: MAX_IN_FLIGHT_BYTES,
    max_per_region: MAX_PER_REGION,
  };
  await post(`${url}/policy`, policy, 'PUT');
  for (const [at, { id }] of devnet.providers.entries()) {
    await post(`${url}/providers`, { id });
    await post(`${url}/providers/${id}`, { region: REGIONS[at % REGIONS.length] }, 'PATCH');
    // As one that was asked before it began to hang or to lose its answers: else none of these would ever be chosen.
    const { askPrice: price, askVerifiedPrice: verifiedPrice } = personaOf('normal');
    const terms = { price, verifiedPrice, minPieceBytes: 256n, maxPieceBytes: 2n ** 35n, at: new Date() };
    await setAsk(database.kysely, id, terms);
  }
}
