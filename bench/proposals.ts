import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { sql, type Kysely } from 'kysely';
import { connect } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import type { DB } from '../src/db/tables.ts';
import { createWalletFile } from '../src/deals/wallet/local-wallet.ts';
import { createDevnet } from '../src/devnet/devnet.ts';
import { silentLog } from '../src/log/log.ts';
import { median, rounded } from './measure.ts';
import { insertSealedAggregates } from './proposal-rows.ts';
import { startServiceChild, type ServiceChild } from './service-child.ts';

const REPLICAS = 5;
/** As those of a first minute: what is compiled and connected is so after the first round. */
const ROUNDS = 3;
const ROUND_LIMIT_MS = 120_000;
const LOOK_MS = 20;
const OPS = 'bench-operator';
const never = new AbortController().signal;

async function send(service: ServiceChild, method: string, path: string, body: object): Promise<void> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${OPS}` };
  const response = await fetch(`${service.url}${path}`, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
}

async function countDeals(db: Kysely<DB>): Promise<Record<string, number>> {
  const { rows } = await sql<{ state: string; count: number }>`
    select state::text, count(*)::integer as count from deals group by 1`.execute(db);
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
}

/** Until so many are accepted; whatever else became of proposals is an error. */
async function untilAccepted(db: Kysely<DB>, proposals: number): Promise<void> {
  const until = performance.now() + ROUND_LIMIT_MS;
  for (;;) {
    const { signed = 0, sent = 0, accepted = 0, ...others } = await countDeals(db);
    if (accepted === proposals && signed + sent === 0) return;
    if (Object.keys(others).length > 0 || performance.now() > until)
      throw new Error(`after a round: ${JSON.stringify({ signed, sent, accepted, ...others })}`);
    await delay(LOOK_MS);
  }
}

interface Figures {
  perSecond: number;
  perCpuSecond: number;
}

interface Size {
  proposals: number;
  providers: number;
}

interface Setting {
  db: Kysely<DB>;
  service: ServiceChild;
  proposals: number;
}

/** One round: aggregates that nobody was asked for, and an operator who says go. */
async function measureRound({ db, service, proposals }: Setting, round: number): Promise<Figures> {
  await send(service, 'PUT', '/policy', { proposing: false });
  await insertSealedAggregates(db, { first: round * (proposals / REPLICAS), count: proposals / REPLICAS });
  const cpu = await service.cpuSeconds();
  const start = performance.now();
  await send(service, 'PUT', '/policy', { proposing: true });
  await untilAccepted(db, proposals * (round + 1));
  const seconds = (performance.now() - start) / 1_000;
  return { perSecond: proposals / seconds, perCpuSecond: proposals / ((await service.cpuSeconds()) - cpu) };
}

async function measure(folder: string, { proposals, providers }: Size): Promise<Figures[]> {
  await chmod(folder, 0o755);
  const dataDir = join(folder, 'database');
  await mkdir(dataDir);
  await using server = await startEmbedded({ dataDir, log: silentLog, signal: never });
  await migrate(server.url);
  await using database = connect(server.url);
  const { kysely: db } = database;
  const personas = Array.from({ length: providers }, () => 'neverFetch' as const);
  await using devnet = await createDevnet({ personas, epochMs: 1_000, seed: 'proposals' });
  const wallet = join(folder, 'wallet.key');
  const address = await createWalletFile(wallet, 'secp256k1', randomBytes);
  await fetch(`${devnet.url}/devnet/fund`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ address, fil: '1000000' }),
  });
  await using service = await startServiceChild(folder, {
    ROLES: 'api,deals',
    DATABASE_URL: server.url,
    TOKEN_SECRET: 'the-secret-of-the-piece-tokens-of-this-bench',
    API_TOKENS: `bench:ops:${OPS}`,
    CHAIN_NETWORK: 'devnet',
    CHAIN_RPC_URL: devnet.rpcUrl,
    WALLET: `file:${wallet}`,
  });
  const caps = { max_in_flight: 'none', max_proposals_per_hour: 'none', max_price: '1000000000000' };
  await send(service, 'PUT', '/policy', { replicas: REPLICAS, verified: false, proposing: false, ...caps });
  for (const { id } of devnet.providers) await send(service, 'POST', '/providers', { id });
  const rounds: Figures[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) rounds.push(await measureRound({ db, service, proposals }, round));
  return rounds;
}

/**
 * `proposals [200] [20]`: so many proposals, five an aggregate, to so many providers of a devnet that take all and fetch nothing,
 * by `lading serve` with the roles api and deals and a policy without rates and caps: from an operator's word to the last
 * acceptance in the database. Choosing, asking, signing, committing, libp2p and settling are in it; PostgreSQL is a
 * process of its own, and the devnet is in the bench's.
 */
export async function benchProposals(count = '200', takers = '20'): Promise<Record<string, unknown>> {
  const [proposals, providers] = [Number(count), Number(takers)];
  if (!Number.isSafeInteger(proposals) || proposals < REPLICAS || proposals % REPLICAS !== 0)
    throw new Error(`give a number of proposals in ${REPLICAS}s`);
  if (!Number.isSafeInteger(providers) || providers < REPLICAS)
    throw new Error(`give a number of providers from ${REPLICAS}`);
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-proposals-'));
  try {
    const [first, ...rounds] = await measure(folder, { proposals, providers });
    const of = (pick: (figures: Figures) => number) => rounded(median(rounds.map(pick)));
    const figures = { perSecond: of((one) => one.perSecond), perCpuSecond: of((one) => one.perCpuSecond) };
    const cold = { perSecond: rounded(first?.perSecond ?? 0), perCpuSecond: rounded(first?.perCpuSecond ?? 0) };
    console.log(
      `${proposals} proposals to ${providers} providers, per second of the clock ${figures.perSecond}, of our CPU ` +
        `${figures.perCpuSecond}; the first round ${cold.perSecond} and ${cold.perCpuSecond}; load ${loadavg()[0]}`,
    );
    return { bench: 'proposals', proposals, providers, ...figures, cold };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
