import type { Kysely } from 'kysely';
import type { Chain } from '../../chain/chain.ts';
import type { Clock } from '../../clock.ts';
import { isUniqueViolation } from '../../db/sqlstate.ts';
import type { DB } from '../../db/tables.ts';
import { MIN_VERIFIED_PIECE_BYTES } from '../../filecoin/limits.ts';
import { encodeProposal, encodeSignedProposal, proposalCid, type DealProposal } from '../../filecoin/proposal.ts';
import type { Jobs } from '../../jobs.ts';
import type { Log } from '../../log.ts';
import { buildProposal } from './build-proposal.ts';
import type { Choice, UsedProvider } from './choose.ts';
import { costOf, fitFunds, type ChainFunds, type Cost } from './money.ts';
import { isLive } from '../deal-states.ts';
import { negotiate, type Negotiated } from './negotiate.ts';
import type { Policy } from './policy.ts';
import { findPolicy } from './policy-store.ts';
import { listProviders, type Provider } from '../providers/provider-store.ts';
import { refreshProviders } from '../providers/providers.ts';
import {
  findSealedPiece,
  holdPlan,
  insertSigned,
  listDealsOfAggregate,
  lockClient,
  sumReserved,
  type NewDeal,
  type PastDeal,
  type SealedPiece,
} from './proposal-store.ts';
import type { Transport } from '../send/transport.ts';
import type { Wallet } from '../wallet.ts';

export type ProposeChain = Pick<
  Chain,
  'head' | 'minerInfo' | 'lookupId' | 'marketBalance' | 'verifiedClientStatus' | 'providerCollateralBounds'
>;

export interface ProposeDeps {
  db: Kysely<DB>;
  jobs: Jobs;
  chain: ProposeChain;
  wallet: Wallet;
  transport: Pick<Transport, 'ask'>;
  clock: Clock;
  /** Uniform in [0, 1). */
  random: () => number;
  newUuid: () => string;
  log: Log;
}

export type ProposeOutcome =
  /** Not sealed, or as many live deals as the policy wants. */
  | { kind: 'nothing-to-do' }
  /** `waiting` says why slots are left, when some are; a job tries them again. */
  | { kind: 'signed'; dealIds: string[]; waiting: string | undefined }
  | { kind: 'waiting'; reason: string };

/** What is decided before anything is signed. */
interface Plan {
  piece: SealedPiece;
  policy: Policy;
  slotsWanted: number[];
  past: PastDeal[];
  providers: Provider[];
}

interface Drafted {
  slot: number;
  provider: string;
  proposal: DealProposal;
  cost: Cost;
}

/** The slots of an aggregate are filled in its first generation; renewal begins the next. */
const GENERATION = 0;
/** Another process that proposes for the same aggregate wins once; a third clash in a row is not a clash. */
const MAX_CLASHES = 3;
/** How long to wait for something to change when nothing says when it will. */
const TRY_AGAIN_MS = 60_000;
/** Retries of one aggregate are told to the same moment, so that several jobs for it become one pass. */
const TRY_AGAIN_GRID_MS = 5_000;

/** The slots below `replicas` that no live deal fills. */
function slotsWanted(replicas: number, past: PastDeal[]): number[] {
  const filled = new Set(past.filter(({ state }) => isLive(state)).map(({ slot }) => slot));
  return Array.from({ length: replicas }, (_, slot) => slot).filter((slot) => !filled.has(slot));
}

function toUsed(deal: PastDeal): UsedProvider {
  return {
    provider: deal.provider,
    live: isLive(deal.state),
    settledAt: deal.settledAt,
    refusalCode: deal.state === 'rejected' ? deal.reasonCode : undefined,
    policyVersion: deal.policyVersion,
  };
}

async function readPlan(deps: ProposeDeps, aggregateId: bigint): Promise<Plan | undefined> {
  const piece = await findSealedPiece(deps.db, aggregateId);
  if (piece === undefined) return undefined;
  const policy = await findPolicy(deps.db);
  const past = await listDealsOfAggregate(deps.db, aggregateId);
  const wanted = slotsWanted(policy.replicas, past);
  if (wanted.length === 0) return undefined;
  return { piece, policy, slotsWanted: wanted, past, providers: await listProviders(deps.db) };
}

interface ClientState {
  client: string;
  headEpoch: number;
  funds: ChainFunds;
}

/** The client's balances at the head; undefined when the chain knows no such client: SPs cannot take its deals. */
async function readClient({ chain, wallet }: ProposeDeps, signal: AbortSignal): Promise<ClientState | undefined> {
  const client = await wallet.address();
  const { key, height } = await chain.head(signal);
  const options = { tipset: key, signal };
  if ((await chain.lookupId(client, options)) === undefined) return undefined;
  const { escrow, locked } = await chain.marketBalance(client, options);
  const datacapBytes = await chain.verifiedClientStatus(client, options);
  return { client, headEpoch: height, funds: { freeEscrow: escrow - locked, datacapBytes } };
}

interface DraftInput {
  plan: Plan;
  chosen: Negotiated;
  state: ClientState;
}

async function draft(
  { chain }: ProposeDeps,
  { plan, chosen, state }: DraftInput,
  signal: AbortSignal,
): Promise<Drafted[]> {
  const { piece, policy, past } = plan;
  if (chosen.chosen.length === 0) return [];
  const bounds = await chain.providerCollateralBounds(piece.pieceBytes, policy.verified, { signal });
  return chosen.chosen.map(({ slot, provider }) => {
    const proposal = buildProposal({
      piece,
      policy,
      client: state.client,
      provider,
      headEpoch: state.headEpoch,
      earlier: past.filter((deal) => deal.provider === provider).length,
      pricePerEpoch: chosen.prices.get(provider) ?? 0n,
      minCollateral: bounds.min,
    });
    const durationEpochs = proposal.endEpoch - proposal.startEpoch;
    return { slot, provider, proposal, cost: costOf({ ...proposal, durationEpochs }) };
  });
}

type Signed = NewDeal & { cost: Cost };

async function signDraft(
  deps: ProposeDeps,
  plan: Plan,
  client: string,
  { slot, provider, proposal, cost }: Drafted,
): Promise<Signed> {
  const bytes = encodeProposal(proposal);
  const signature = await deps.wallet.sign(bytes);
  return {
    id: deps.newUuid(),
    aggregateId: plan.piece.aggregateId,
    slot,
    generation: GENERATION,
    provider,
    policyVersion: plan.policy.version,
    client,
    signedProposal: encodeSignedProposal({ proposal, signature }),
    proposalCid: proposalCid(bytes).toString(),
    verified: proposal.verified,
    startEpoch: proposal.startEpoch,
    endEpoch: proposal.endEpoch,
    pricePerEpoch: proposal.pricePerEpoch,
    providerCollateral: proposal.providerCollateral,
    cost,
  };
}

/** When to look again: as soon as the first resting provider may be asked, but not later than TRY_AGAIN_MS from now. */
function tryAgainAt(providers: Provider[], now: Date): Date {
  const rested = providers.flatMap(({ retryAt }) =>
    retryAt !== undefined && retryAt > now ? [retryAt.getTime()] : [],
  );
  const at = Math.min(now.getTime() + TRY_AGAIN_MS, ...rested);
  return new Date(Math.ceil((at + 1) / TRY_AGAIN_GRID_MS) * TRY_AGAIN_GRID_MS);
}

/** The policy or a provider's state changed while providers were asked: what was planned is not wanted any more. */
class PlanOvertaken extends Error {
  override readonly name = 'PlanOvertaken';
  override readonly message = 'the policy or the providers changed while providers were asked';
}

/** One transaction: the deals that the balance still allows, their jobs, and the job for the slots that are left. */
async function commit(deps: ProposeDeps, plan: Plan, state: ClientState | undefined, signed: Signed[]) {
  const at = deps.clock.now();
  return await deps.db.transaction().execute(async (trx) => {
    let dealIds: string[] = [];
    let short: string | undefined;
    if (state !== undefined && signed.length > 0) {
      await lockClient(trx, state.client);
      const providers = signed.map(({ provider }) => provider);
      if (!(await holdPlan(trx, { policyVersion: plan.policy.version, providers }))) throw new PlanOvertaken();
      const fit = fitFunds(signed, state.funds, await sumReserved(trx, state.client, state.headEpoch));
      for (const deal of fit.fitting) await insertSigned(trx, deps.jobs, deal, at);
      dealIds = fit.fitting.map(({ id }) => id);
      short = fit.short;
    }
    if (dealIds.length < plan.slotsWanted.length) {
      const startAfter = tryAgainAt(plan.providers, at);
      await deps.jobs.send(trx, 'propose', { aggregateId: plan.piece.aggregateId.toString() }, { startAfter });
    }
    return { dealIds, short };
  });
}

function whyWaiting(refused: Choice['refused'], providers: Provider[]): string {
  if (providers.length === 0) return 'no providers are registered: add some with: lading provider add f0…';
  const reasons = refused.map(({ provider, reason }) => `${provider}: ${reason}`);
  return `too few providers can be asked: ${reasons.join('; ') || 'each has a deal already'}`;
}

/** SPs accept a verified deal of any size, and the market actor then drops it without a word: it must not be signed. */
function whyUnfit({ policy, piece }: Plan): string | undefined {
  if (!policy.verified || piece.pieceBytes >= MIN_VERIFIED_PIECE_BYTES) return undefined;
  return `a piece of ${piece.pieceBytes} bytes is too small for a verified deal, which takes ${MIN_VERIFIED_PIECE_BYTES} or more: set verified=false`;
}

async function proposeOnce(deps: ProposeDeps, aggregateId: bigint, signal: AbortSignal): Promise<ProposeOutcome> {
  const known = await readPlan(deps, aggregateId);
  if (known === undefined) return { kind: 'nothing-to-do' };
  const unfit = whyUnfit(known);
  if (unfit !== undefined) {
    await commit(deps, known, undefined, []);
    return { kind: 'waiting', reason: unfit };
  }
  const state = await readClient(deps, signal);
  if (state === undefined) {
    await commit(deps, known, undefined, []);
    const client = await deps.wallet.address();
    return { kind: 'waiting', reason: `the chain does not know the client ${client}: send it some FIL first` };
  }
  const plan = { ...known, providers: await refreshProviders(deps, known.providers, signal) };
  const used = plan.past.map(toUsed);
  const chosen = await negotiate(deps, { ...plan, pieceBytes: plan.piece.pieceBytes, used }, signal);
  const drafts = await draft(deps, { plan, chosen, state }, signal);
  // Decided once before signing, and once more under the lock, where no other signer can be in between.
  const before = fitFunds(drafts, state.funds, await sumReserved(deps.db, state.client, state.headEpoch));
  const signed = await Promise.all(before.fitting.map((one) => signDraft(deps, plan, state.client, one)));
  const { dealIds, short } = await commit(deps, plan, state, signed);
  const filled = dealIds.length === plan.slotsWanted.length;
  const reason = before.short ?? short ?? whyWaiting(chosen.refused, plan.providers);
  if (dealIds.length === 0) return { kind: 'waiting', reason };
  return { kind: 'signed', dealIds, waiting: filled ? undefined : reason };
}

/**
 * Fills the empty slots of a sealed aggregate with signed proposals: at most one transaction, which holds the deals, the
 * jobs that send them, and a job for later when slots are left. Whatever process was first wins; nothing is doubled.
 */
export async function proposeAggregate(
  deps: ProposeDeps,
  aggregateId: bigint,
  signal: AbortSignal,
): Promise<ProposeOutcome> {
  for (let clash = 1; ; clash += 1) {
    try {
      return await proposeOnce(deps, aggregateId, signal);
    } catch (error) {
      const isOvertaken = error instanceof PlanOvertaken || isUniqueViolation(error);
      if (!isOvertaken || clash >= MAX_CLASHES) throw error;
      deps.log.info({ aggregateId: aggregateId.toString() }, 'propose.overtaken');
    }
  }
}
