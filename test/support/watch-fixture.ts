import { randomUUID } from 'node:crypto';
import { createChainPool } from '../../src/chain/chain.ts';
import { createRpc } from '../../src/chain/rpc.ts';
import type { Clock } from '../../src/clock.ts';
import type { Database } from '../../src/db/connect.ts';
import { createWatchView, watchNext, type WatcherDeps } from '../../src/deals/watch/watch.ts';
import type { DealState } from '../../src/deals/deal-states.ts';
import { formatAddress, parseAddress } from '../../src/filecoin/address.ts';
import { parseCid } from '../../src/filecoin/cid.ts';
import { keyAddress, signWithKey, type LotusKey } from '../../src/filecoin/lotus-key.ts';
import { pieceCidV1 } from '../../src/filecoin/piece.ts';
import { encodeProposal, encodeSignedProposal, proposalCid, type DealProposal } from '../../src/filecoin/proposal.ts';
import type { Jobs } from '../../src/jobs/jobs.ts';
import { silentLog } from '../../src/log/log.ts';
import { ScriptedChain } from './scripted-chain.ts';
import { testDatabase } from './database.ts';

const KEY: LotusKey = { type: 'secp256k1', privateKey: new Uint8Array(32).fill(7) };
export const CLIENT = formatAddress(keyAddress(KEY));
const LABEL = 'bafybeig2qsdu6nfmmaxlpnrpcz63jzyb6bzc4ngllv4mcj7q66ei4rq72y';
const START_TIME = new Date('2026-01-01T00:00:00Z');
const LOOKBACK = 10;
/** The longest deal's life is read in fewer. */
const MAX_PASSES = 400;

/** A clock that moves when it is told to. */
function testClock(): Clock & { advance(ms: number): void } {
  let now = START_TIME.getTime();
  return {
    now: () => new Date(now),
    advance(ms) {
      now += ms;
    },
  };
}

function recordJobs(): Jobs & { sent: unknown[] } {
  const sent: unknown[] = [];
  return {
    sent,
    send(_trx, queue, data) {
      sent.push({ queue, ...data });
      return Promise.resolve();
    },
  };
}

export interface SeededDeal {
  id: string;
  aggregateId: bigint;
  /** CBOR of the ClientDealProposal. */
  signedProposal: Uint8Array;
  /** As the market actor shows it. */
  onChain: Record<string, unknown>;
}

interface DealSeed {
  state?: DealState;
  provider?: string;
  slot?: number;
  generation?: number;
  aggregateId?: bigint;
  /** Pieces of aggregates differ by it. */
  piece?: number;
  startEpoch?: number;
  endEpoch?: number;
}

async function seedAggregate({ kysely }: Database, piece: number): Promise<bigint> {
  return await kysely.transaction().execute(async (trx) => {
    const { id } = await trx
      .insertInto('aggregates')
      .values({
        state: 'sealed',
        capacity_bytes: 2_032n,
        length_bytes: 1_500n,
        entry_count: 1,
        oldest_accepted_at: START_TIME,
        seal_reason: 'operator',
        tree_key: `trees/${piece}`,
        tree_bytes: 100n,
        batch_root: LABEL,
        car_bytes: 1_600n,
        piece_cid: pieceCid(piece),
        piece_bytes: 2_048n,
        opened_at: START_TIME,
        sealed_at: START_TIME,
        changed_at: START_TIME,
      })
      .returning('id')
      .executeTakeFirstOrThrow();
    await trx.insertInto('events').values({ at: START_TIME, aggregate_id: id, to_state: 'sealed' }).execute();
    return id;
  });
}

function pieceCid(piece: number): string {
  return pieceCidV1(new Uint8Array(32).fill(piece)).toString();
}

function proposalOf({ provider = 'f01002', piece = 1, startEpoch = 500, endEpoch = 600_000 }: DealSeed): DealProposal {
  return {
    pieceCid: parseCid(pieceCid(piece)),
    pieceBytes: 2_048n,
    verified: false,
    client: keyAddress(KEY),
    provider: parseAddress(provider),
    label: LABEL,
    startEpoch,
    endEpoch,
    pricePerEpoch: 1_000n,
    providerCollateral: 12n,
    clientCollateral: 0n,
  };
}

function asOnChain(proposal: DealProposal): Record<string, unknown> {
  return {
    PieceCID: { '/': proposal.pieceCid.toString() },
    PieceSize: Number(proposal.pieceBytes),
    VerifiedDeal: proposal.verified,
    Provider: formatAddress(proposal.provider),
    Label: LABEL,
    StartEpoch: proposal.startEpoch,
    EndEpoch: proposal.endEpoch,
    StoragePricePerEpoch: proposal.pricePerEpoch.toString(),
    ProviderCollateral: proposal.providerCollateral.toString(),
    ClientCollateral: '0',
  };
}

async function seedDeal(database: Database, seed: DealSeed): Promise<SeededDeal> {
  const { state = 'accepted', provider = 'f01002', slot = 0, generation = 0, piece = 1 } = seed;
  const { kysely } = database;
  const aggregateId = seed.aggregateId ?? (await seedAggregate(database, piece));
  const proposal = proposalOf(seed);
  const bytes = encodeProposal(proposal);
  const signedProposal = encodeSignedProposal({ proposal, signature: signWithKey(KEY, bytes) });
  const over = ['rejected', 'failed', 'abandoned'].includes(state);
  const id = randomUUID();
  await kysely
    .insertInto('providers')
    .values({ id: provider, state: 'enabled', address_source: 'chain', added_at: START_TIME })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  await kysely.transaction().execute(async (trx) => {
    await trx
      .insertInto('deals')
      .values({
        id,
        aggregate_id: aggregateId,
        slot,
        generation,
        provider_id: provider,
        policy_version: 1,
        state,
        client: CLIENT,
        signed_proposal: Buffer.from(signedProposal),
        proposal_cid: proposalCid(bytes).toString(),
        verified: false,
        start_epoch: BigInt(proposal.startEpoch),
        end_epoch: BigInt(proposal.endEpoch),
        price_per_epoch: '1000',
        provider_collateral: '12',
        attempts: state === 'signed' ? 0 : 1,
        reason_code: over ? 'refused' : null,
        settled_at: over && state !== 'failed' ? START_TIME : null,
        created_at: START_TIME,
        changed_at: START_TIME,
      })
      .execute();
    await trx.insertInto('events').values({ at: START_TIME, deal_id: id, to_state: state }).execute();
  });
  return { id, aggregateId, signedProposal, onChain: asOnChain(proposal) };
}

/** A database and the watch of whatever chain answers there. */
export async function openWatch({
  rpcUrl,
  otherUrls = [],
  lookbackEpochs = LOOKBACK,
}: {
  rpcUrl: string;
  otherUrls?: string[];
  lookbackEpochs?: number;
}) {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await testDatabase());
  const rpc = stack.adopt(
    createRpc({ endpoints: [rpcUrl, ...otherUrls].map((url) => ({ url })), timeoutMs: 20_000 }),
    (open) => open.close(),
  );
  const clock = testClock();
  const jobs = recordJobs();
  const { kysely } = database;
  const view = createWatchView();
  const deps: WatcherDeps = {
    db: kysely,
    jobs,
    chain: createChainPool(rpc),
    clock,
    log: silentLog,
    lookbackEpochs,
    view,
  };
  const signal = new AbortController().signal;
  const events = (id: string) =>
    kysely.selectFrom('events').selectAll().where('deal_id', '=', id).orderBy('position').execute();
  return {
    clock,
    jobs,
    deps,
    kysely,
    url: database.url,
    seed: (seed: DealSeed = {}) => seedDeal(database, seed),
    /** Passes until there is nothing to do. */
    async watch() {
      for (let passes = 0; passes < MAX_PASSES; passes += 1) {
        if (!(await watchNext(deps, signal))) return;
      }
      throw new Error('the watch does not come to rest');
    },
    deal: (id: string) => kysely.selectFrom('deals').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
    events,
    /** The states a deal went through, with the reasons. */
    async story(id: string) {
      const told = await events(id);
      return told.map(({ to_state: to, reason_code: code }) => (code === null ? to : `${to}:${code}`));
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** A database, a scripted chain behind HTTP, and the watch between them. */
export async function watchFixture(chain: ScriptedChain) {
  const server = await chain.serve();
  const watched = await openWatch({ rpcUrl: server.url });
  return {
    ...watched,
    chain,
    differences: () => watched.kysely.selectFrom('chain_differences').selectAll().orderBy('id').execute(),
    requests: server.requests,
    rpcUrl: server.url,
    /** The chain grows, and is watched. */
    async grow(epochs: number) {
      chain.head += epochs;
      watched.clock.advance(epochs * 1_000);
      await watched.watch();
    },
    async [Symbol.asyncDispose]() {
      await watched[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** A chain that is final up to 90, on which a deal was published at 100, and seen. */
export async function publishedAboveFinality(grow = 12) {
  const chain = new ScriptedChain();
  chain.finalized = 90;
  const watched = await watchFixture(chain);
  const deal = await watched.seed();
  await watched.watch();
  chain.publish(deal.onChain);
  await watched.grow(grow);
  return { chain, watched, deal };
}

/** A deal that was published at the head and proven one epoch later, as sector 5. */
export async function activeDeal(watched: Awaited<ReturnType<typeof watchFixture>>, seed: DealSeed = {}) {
  const { chain } = watched;
  const deal = await watched.seed(seed);
  await watched.watch();
  const onChain = chain.publish(deal.onChain);
  Object.assign(onChain, { provedAt: chain.head + 1, sectorNumber: 5 });
  await watched.grow(12);
  const { state } = await watched.deal(deal.id);
  if (state !== 'active') throw new Error(`the deal is ${state}, not active`);
  return { deal, onChain };
}
