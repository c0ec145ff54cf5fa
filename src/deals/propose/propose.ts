import type { Kysely } from 'kysely';
import type { Chain } from '../../chain/chain.ts';
import type { Clock } from '../../clock.ts';
import { isUniqueViolation } from '../../db/sqlstate.ts';
import type { DB } from '../../db/tables.ts';
import { MIN_VERIFIED_PIECE_BYTES } from '../../filecoin/limits.ts';
import type { ManyJobs } from '../../jobs/jobs.ts';
import type { Log } from '../../log/log.ts';
import type { Transport } from '../transport/transport.ts';
import type { Wallet } from '../wallet/wallet.ts';
import type { Choice } from './choose.ts';
import type { Want } from './filling.ts';
import { commitPlan, PlanOvertaken, type Committed } from './commit-plan.ts';
import { listProviderFacts, type ProviderFacts } from './facts-store.ts';
import { fitFunds } from './money.ts';
import { negotiate } from './negotiate.ts';
import { mayWant, toUsed, wantedSlots } from './plan-slots.ts';
import { findPolicy } from './policy-store.ts';
import { listPastDeals, listProposable, sumReserved } from './proposal-store.ts';
import type { NobodyReason, Refusal } from './rule-out.ts';
import { draftProposals, signDraft, type ClientState, type Plan } from './sign-drafts.ts';

export type ProposeChain = Pick<
  Chain,
  'head' | 'minerInfo' | 'lookupId' | 'marketBalance' | 'verifiedClientStatus' | 'providerCollateralBounds'
>;

export interface ProposeDeps {
  db: Kysely<DB>;
  jobs: ManyJobs;
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
  | { kind: 'waiting'; reason: string }
  | { kind: 'failed'; error: unknown };

/** Another process that proposes for the same aggregate wins once; a third clash in a row is not a clash. */
const MAX_CLASHES = 3;
/** How long to wait for something to change when nothing says when it will. */
const TRY_AGAIN_MS = 60_000;
/** Retries of one aggregate are told to the same moment, so that several jobs for it become one pass. */
const TRY_AGAIN_GRID_MS = 5_000;

/** The client's balances at the head; undefined when the chain knows no such client: SPs cannot take its deals. */
export async function readClient(
  { chain, wallet }: Pick<ProposeDeps, 'chain' | 'wallet'>,
  signal: AbortSignal,
): Promise<ClientState | undefined> {
  const client = await wallet.address();
  const { key, height } = await chain.head(signal);
  const options = { tipset: key, signal };
  if ((await chain.lookupId(client, options)) === undefined) return undefined;
  const { escrow, locked } = await chain.marketBalance(client, options);
  const datacapBytes = await chain.verifiedClientStatus(client, options);
  return { client, headEpoch: height, funds: { freeEscrow: escrow - locked, datacapBytes } };
}

/** When to look again: as soon as the first resting provider may be asked, but not later than TRY_AGAIN_MS from now. */
function tryAgainAt(providers: Iterable<ProviderFacts>, now: Date): Date {
  const rested = [...providers].flatMap(({ retryAt }) =>
    retryAt !== undefined && retryAt > now ? [retryAt.getTime()] : [],
  );
  const at = Math.min(now.getTime() + TRY_AGAIN_MS, ...rested);
  return new Date(Math.ceil((at + 1) / TRY_AGAIN_GRID_MS) * TRY_AGAIN_GRID_MS);
}

function whyWaiting(refused: readonly Refusal[], providers: ReadonlyMap<string, ProviderFacts>): string {
  if ([...providers.values()].every(({ state }) => state === 'removed'))
    return 'no providers are registered: add some with: lading provider add f0…';
  const reasons = refused.map(({ provider, reason }) => `${provider}: ${reason}`);
  return `too few providers can be asked: ${reasons.join('; ') || 'each has a deal already'}`;
}

/** Why nobody can be asked for an aggregate; `forGood`: until a person acts, so that no timer is needed. */
interface Nobody {
  code: NobodyReason;
  reason: string;
  forGood: boolean;
}

function whyNobody({ piece, policy, past }: Plan): Nobody | undefined {
  const forGood = (code: NobodyReason, reason: string): Nobody => ({ code, reason, forGood: true });
  if (!policy.proposing) return forGood('proposing_off', 'all proposing is paused: lading proposing resume');
  // What is active somewhere can be fetched back; that is seen to once somebody would take it.
  if (piece.released && !past.some(({ state }) => state === 'active'))
    return forGood('bytes_released', 'bytes_released: the bytes of this aggregate are not kept any more');
  if (piece.unowned) return forGood('not_owned', 'nobody owns any upload in this aggregate any more');
  // SPs accept a verified deal of any size, and the market actor then drops it without a word: it must not be signed.
  if (!policy.verified || piece.pieceBytes >= MIN_VERIFIED_PIECE_BYTES) return undefined;
  const reason = `a piece of ${piece.pieceBytes} bytes is too small for a verified deal, which takes ${MIN_VERIFIED_PIECE_BYTES} or more: set verified=false`;
  return { code: 'too_small', reason, forGood: false };
}

/** There are takers, but no bytes: they are fetched back before anything is signed, and that wakes this again. */
async function fetchFirst(deps: Pick<ProposeDeps, 'db' | 'jobs' | 'clock'>, plan: Plan): Promise<ProposeOutcome> {
  const { aggregateId } = plan.piece;
  const reason = 'bytes_released: the bytes of this aggregate are being fetched back from a provider that has them';
  const refused: Refusal[] = [{ provider: '*', code: 'bytes_released', reason }];
  await commitPlan(deps, { plan, refused, state: undefined, signed: [], tryAgainAt: undefined });
  await deps.db.transaction().execute((trx) => deps.jobs.send(trx, 'restore', { aggregateId: aggregateId.toString() }));
  return { kind: 'waiting', reason };
}

type Outcomes = Map<bigint, ProposeOutcome>;

/** Keeps that, and why, nobody is asked. */
async function waitFor(deps: ProposeDeps, plan: Plan, { code, reason, forGood }: Nobody): Promise<ProposeOutcome> {
  const refused: Refusal[] = [{ provider: '*', code, reason }];
  const at = forGood ? undefined : tryAgainAt([], deps.clock.now());
  await commitPlan(deps, { plan, refused, state: undefined, signed: [], tryAgainAt: at });
  return { kind: 'waiting', reason };
}

/** Plans of those aggregates that may want something; the others are settled in `outcomes`. */
async function readPlans(deps: ProposeDeps, ids: readonly bigint[], outcomes: Outcomes): Promise<Plan[]> {
  for (const id of ids) outcomes.set(id, { kind: 'nothing-to-do' });
  const policy = await findPolicy(deps.db);
  const past = await listPastDeals(deps.db, ids);
  const plans: Plan[] = [];
  for (const piece of await listProposable(deps.db, ids)) {
    const deals = past.get(piece.aggregateId) ?? [];
    if (!mayWant(policy, deals)) continue;
    const empty = wantedSlots({ aggregateId: piece.aggregateId, policy, past: deals, headEpoch: 0 }).length;
    const plan = { piece, policy, past: deals, wanted: { all: empty, empty } };
    const nobody = whyNobody(plan);
    if (nobody === undefined) plans.push(plan);
    else if (empty > 0) outcomes.set(piece.aggregateId, await waitFor(deps, plan, nobody));
  }
  return plans;
}

interface Planned {
  plan: Plan;
  want: Want;
}

/** With the height known, the renewals that are due join the empty slots. */
function addRenewals(plans: readonly Plan[], headEpoch: number): Planned[] {
  return plans.flatMap((plan) => {
    const { piece, policy, past } = plan;
    const slots = wantedSlots({ aggregateId: piece.aggregateId, policy, past, headEpoch });
    if (slots.length === 0) return [];
    const want = { aggregateId: piece.aggregateId, pieceBytes: piece.pieceBytes, slots, used: past.map(toUsed) };
    return [{ plan: { ...plan, wanted: { ...plan.wanted, all: slots.length } }, want }];
  });
}

interface Decision {
  plan: Plan;
  choice: Choice;
  facts: ReadonlyMap<string, ProviderFacts>;
  state: ClientState;
}

type SignDeps = Omit<ProposeDeps, 'chain'> & { chain: Pick<Chain, 'providerCollateralBounds'> };

async function signAndCommit(deps: SignDeps, decision: Decision, signal: AbortSignal): Promise<ProposeOutcome> {
  const { plan, choice, facts, state } = decision;
  const drafts = await draftProposals(deps.chain, decision, signal);
  // Decided once before signing, and once more under the lock, where no other signer can be in between.
  const before = fitFunds(drafts, state.funds, await sumReserved(deps.db, state.client, state.headEpoch));
  if (plan.piece.released && before.fitting.length > 0) return await fetchFirst(deps, plan);
  const signed = await Promise.all(before.fitting.map((one) => signDraft(deps, { plan, client: state.client }, one)));
  const unfunded = drafts
    .filter((one) => !before.fitting.includes(one))
    .map(
      ({ chosen }): Refusal => ({
        provider: chosen.provider,
        code: before.lacks ?? 'escrow',
        reason: before.short ?? '',
      }),
    );
  const again = tryAgainAt(facts.values(), deps.clock.now());
  const refused = [...choice.refused, ...unfunded];
  const committed = await commitPlan(deps, { plan, refused, state, signed, tryAgainAt: again });
  return outcomeOf(plan, committed, before.short ?? committed.short ?? whyWaiting(choice.refused, facts));
}

function outcomeOf({ wanted }: Plan, { dealIds }: Committed, reason: string): ProposeOutcome {
  if (dealIds.length === 0) return { kind: 'waiting', reason };
  return { kind: 'signed', dealIds, waiting: dealIds.length === wanted.all ? undefined : reason };
}

/** Pieces are of few sizes, and the bounds on collateral those of the head: one answer a size is enough for a batch. */
function boundsOnce(chain: ProposeChain): Pick<Chain, 'providerCollateralBounds'> {
  const known = new Map<string, Awaited<ReturnType<Chain['providerCollateralBounds']>>>();
  return {
    async providerCollateralBounds(pieceBytes, verified, options) {
      const key = `${pieceBytes} ${verified}`;
      const bounds = known.get(key) ?? (await chain.providerCollateralBounds(pieceBytes, verified, options));
      known.set(key, bounds);
      return bounds;
    },
  };
}

/** Those whose plan another process, or an operator, overtook. */
async function proposeOnce(
  deps: ProposeDeps,
  ids: readonly bigint[],
  { outcomes, signal }: { outcomes: Outcomes; signal: AbortSignal },
): Promise<Map<bigint, unknown>> {
  const overtaken = new Map<bigint, unknown>();
  const plans = await readPlans(deps, ids, outcomes);
  if (plans.length === 0) return overtaken;
  const state = await readClient(deps, signal);
  if (state === undefined) {
    const reason = `the chain does not know the client ${await deps.wallet.address()}: send it some FIL first`;
    for (const plan of plans.filter(({ wanted }) => wanted.empty > 0))
      outcomes.set(
        plan.piece.aggregateId,
        await waitFor(deps, plan, { code: 'client_unknown', reason, forGood: false }),
      );
    return overtaken;
  }
  const planned = addRenewals(plans, state.headEpoch);
  const [first] = planned;
  if (first === undefined) return overtaken;
  const providers = await listProviderFacts(deps.db, deps.clock.now());
  const wants = planned.map(({ want }) => want);
  const { choices, facts } = await negotiate(deps, { policy: first.plan.policy, providers, wants }, signal);
  const chain = boundsOnce(deps.chain);
  for (const [at, choice] of choices.entries()) {
    const plan = planned[at]?.plan;
    if (plan === undefined) continue;
    signal.throwIfAborted();
    try {
      outcomes.set(choice.aggregateId, await signAndCommit({ ...deps, chain }, { plan, choice, facts, state }, signal));
    } catch (error) {
      if (error instanceof PlanOvertaken || isUniqueViolation(error)) overtaken.set(choice.aggregateId, error);
      else outcomes.set(choice.aggregateId, { kind: 'failed', error });
    }
  }
  return overtaken;
}

/**
 * Fills the empty slots of sealed aggregates, and renews those that are due, with signed proposals: facts and balances
 * are read once for all, and providers chosen for all; then one transaction an aggregate, which holds its deals, the jobs
 * that send them, and a job for later when slots are left. Whatever process was first wins; nothing is doubled. One
 * aggregate's fault is its own outcome; a chain or database that cannot be read is thrown.
 */
export async function proposeAggregates(
  deps: ProposeDeps,
  ids: readonly bigint[],
  signal: AbortSignal,
): Promise<Outcomes> {
  const outcomes: Outcomes = new Map();
  let due: readonly bigint[] = ids;
  for (let clash = 1; due.length > 0; clash += 1) {
    const overtaken = await proposeOnce(deps, due, { outcomes, signal });
    due = [...overtaken.keys()];
    if (due.length > 0) deps.log.info({ aggregateIds: due.map(String) }, 'propose.overtaken');
    if (clash < MAX_CLASHES) continue;
    for (const [id, error] of overtaken) outcomes.set(id, { kind: 'failed', error });
    break;
  }
  return outcomes;
}

/** As proposeAggregates, for one; its fault is thrown. */
export async function proposeAggregate(
  deps: ProposeDeps,
  aggregateId: bigint,
  signal: AbortSignal,
): Promise<ProposeOutcome> {
  const outcome = (await proposeAggregates(deps, [aggregateId], signal)).get(aggregateId);
  if (outcome?.kind === 'failed') throw outcome.error;
  return outcome ?? { kind: 'nothing-to-do' };
}
