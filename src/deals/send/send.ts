import type { Kysely } from 'kysely';
import type { Chain } from '../../chain/chain.ts';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { describeError } from '../../errors.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Log } from '../../log/log.ts';
import { isHeld, leaseEnd, whileLeased } from './attempt-lease.ts';
import { backOffMs, PROVIDER_BACK_OFF, PROVIDER_REST_MS, RESEND_BACK_OFF } from './back-off.ts';
import { dealParams } from './deal-params.ts';
import { decideAnswer, decideStatus, decideUnreached, type Attempted, type SettleStep } from './decide-answer.ts';
import type { PieceTokens } from './piece-token.ts';
import { ProviderTurns } from './provider-turns.ts';
import { noteFailure, noteSuccess, setStale, type Provider } from '../providers/provider-store.ts';
import { askStatus, noteHeard, readProvider, targetOf } from './reach-provider.ts';
import {
  beginAttempt,
  callOffUnsent,
  findDealToSend,
  postponeAttempt,
  restPastStart,
  settleAnswer,
  type DealToSend,
} from './send-store.ts';
import { storableText } from '../../storable-text.ts';
import type { ProviderTarget, Transport } from '../transport/transport.ts';
import type { Wallet } from '../wallet/wallet.ts';

export interface SendDeps {
  db: Kysely<DB>;
  jobs: Jobs;
  chain: Pick<Chain, 'head' | 'minerInfo'>;
  /** Signs questions for a deal's status. */
  wallet: Wallet;
  transport: Pick<Transport, 'propose' | 'status'>;
  pieceTokens: PieceTokens;
  /** Where SPs reach `/piece/…`, without a slash at its end. */
  publicUrl: string;
  clock: Clock;
  /** Uniform in [0, 1). */
  random: () => number;
  log: Log;
  /** Of all that one process sends; without it every proposal goes at once. */
  turns?: ProviderTurns;
}

export type SendOutcome =
  | 'nothing-to-do'
  | 'past-start'
  | 'called-off'
  | 'overtaken'
  /** Another attempt is out, the next one is not due, or its provider has others to answer: a job comes back then. */
  | 'held'
  | 'accepted'
  | 'rejected'
  | 'later';

/** It takes hours until a start is final and the watch ends the deal: no sweep needs to find it every half minute. */
const PAST_START_REST_MS = 30 * 60_000;

interface AttemptInput {
  deal: DealToSend;
  attempted: Attempted;
  target: ProviderTarget | undefined;
}

/** Talks to the provider, and says what its words mean. No transaction is open here. */
async function attempt(
  deps: SendDeps,
  { deal, attempted, target }: AttemptInput,
  signal: AbortSignal,
): Promise<SettleStep> {
  if (target === undefined) return decideUnreached(attempted, 'no peer id or address is known');
  const answer = await deps.transport.propose(target, dealParams(deal, deps), signal);
  if (signal.aborted && answer.kind === 'not-connected') {
    // Our own stop cut the dial short: that is no failure of the provider.
    return { kind: 'later', maybeReceived: attempted.maybeReceived, unreached: false, why: answer.why };
  }
  await noteHeard(deps.db, deal.provider, answer, deps.clock.now());
  const step = decideAnswer(attempted, answer);
  if (step.kind !== 'ask-status') return step;
  return decideStatus(step, await askStatus(deps, deal.id, target, signal));
}

type RejectStep = Extract<SettleStep, { kind: 'reject' }>;

/** The provider rests when its reason holds for other deals too. */
async function restProvider(
  trx: Kysely<DB>,
  deps: SendDeps,
  step: RejectStep,
  provider: Provider | undefined,
): Promise<void> {
  if (provider === undefined || step.refused?.scope === 'deal') return;
  const growingMs = backOffMs(PROVIDER_BACK_OFF, provider.failures + 1, deps.random());
  const waitMs = step.refused === undefined || step.refused.class === 'later' ? growingMs : PROVIDER_REST_MS;
  await noteFailure(trx, provider.id, new Date(deps.clock.now().getTime() + waitMs));
}

interface SettleInput {
  deal: DealToSend;
  attempts: number;
  provider: Provider | undefined;
  step: SettleStep;
  stopping: boolean;
}

/** One transaction: the deal's new state with its event, what it means for the provider, and the job that goes on. */
async function settle(deps: SendDeps, { deal, attempts, provider, step, stopping }: SettleInput): Promise<SendOutcome> {
  const at = deps.clock.now();
  return await deps.db.transaction().execute(async (trx) => {
    if (step.kind === 'later') {
      // An attempt that our own stop cut short says nothing of the provider: the next start goes on at once.
      const waitMs = stopping ? 0 : backOffMs(RESEND_BACK_OFF, attempts, deps.random());
      const nextAttemptAt = new Date(at.getTime() + waitMs);
      await postponeAttempt(trx, deps.jobs, {
        dealId: deal.id,
        attempts,
        maybeReceived: step.maybeReceived,
        nextAttemptAt,
      });
      if (step.unreached) await setStale(trx, deal.provider);
      return 'later';
    }
    const text = storableText(step.text);
    const evidence = { provider: deal.provider, attempts };
    if (step.kind === 'accept') {
      const settled = await settleAnswer(trx, { dealId: deal.id, attempts, to: 'accepted', text, evidence }, at);
      await noteSuccess(trx, deal.provider);
      return settled ? 'accepted' : 'overtaken';
    }
    const answer = { dealId: deal.id, attempts, to: 'rejected' as const, reasonCode: step.code, text, evidence };
    if (!(await settleAnswer(trx, answer, at))) return 'overtaken';
    await restProvider(trx, deps, step, provider);
    await deps.jobs.send(trx, 'propose', { aggregateId: deal.aggregateId.toString() });
    return 'rejected';
  });
}

function report(log: Log, deal: DealToSend, step: SettleStep): void {
  const fields = { dealId: deal.id, provider: deal.provider };
  if (step.kind === 'accept') log.info({ ...fields, text: storableText(step.text) }, 'deal.accepted');
  else if (step.kind === 'later') log.warn({ ...fields, why: storableText(step.why) }, 'deal.send_again_later');
  else if (step.kind === 'reject') {
    const level = step.refused?.class === 'bug' ? 'error' : 'warn';
    log[level]({ ...fields, code: step.code, text: storableText(step.text) }, 'deal.rejected');
  }
}

/**
 * Sends one proposal, the same bytes each time, and settles what comes back. Before StartEpoch only: after it the deal
 * is for the chain to end. An unclear answer leaves it in sent, with a job that tries again.
 */
export async function sendDeal(deps: SendDeps, dealId: string, signal: AbortSignal): Promise<SendOutcome> {
  const deal = await findDealToSend(deps.db, dealId);
  if (deal === undefined || (deal.state !== 'signed' && deal.state !== 'sent')) return 'nothing-to-do';
  if (deal.nextAttemptAt !== undefined && isHeld(deal.nextAttemptAt, deps.clock.now()))
    return await holdUntil(deps, dealId, deal.nextAttemptAt);
  const waitMs = deps.turns?.waitMs(deal.provider) ?? 0;
  if (waitMs > 0) return await holdUntil(deps, dealId, new Date(deps.clock.now().getTime() + waitMs));
  const send = () => sendDue(deps, deal, signal);
  return await (deps.turns?.during(deal.provider, send) ?? send());
}

async function holdUntil({ db, jobs }: SendDeps, dealId: string, startAfter: Date): Promise<SendOutcome> {
  await db.transaction().execute((trx) => jobs.send(trx, 'send', { dealId }, { startAfter }));
  return 'held';
}

async function sendDue(deps: SendDeps, deal: DealToSend, signal: AbortSignal): Promise<SendOutcome> {
  const dealId = deal.id;
  if ((await deps.chain.head(signal)).height >= deal.startEpoch) {
    await restPastStart(deps.db, dealId, new Date(deps.clock.now().getTime() + PAST_START_REST_MS));
    return 'past-start';
  }
  const provider = await readProvider(deps, deal.provider, signal);
  signal.throwIfAborted();
  const at = deps.clock.now();
  // What never left can end at once; what may have left is for the provider or the chain to end.
  if (deal.state === 'signed' && provider !== undefined && provider.state !== 'enabled') {
    const text = `its provider was ${provider.state} before the proposal was sent`;
    return (await callOffUnsent(deps, deal, { text, at })) ? 'called-off' : 'overtaken';
  }
  if (!(await beginAttempt(deps.db, deal, { at, leaseUntil: leaseEnd(at) }))) return 'overtaken';
  const attempts = deal.attempts + 1;
  const attempted: Attempted = { dealId, attempts, maybeReceived: deal.maybeReceived };
  const step = await whileLeased(deps, attempted, () =>
    attempt(deps, { deal, attempted, target: targetOf(provider) }, signal),
  );
  report(deps.log, deal, step);
  return await settle(deps, { deal, attempts, provider, step, stopping: signal.aborted });
}

/** The handler of queue 'send'. The batch is sent at once: one slow provider must not hold up the others. */
export function createSendHandler(given: SendDeps) {
  const deps = { ...given, turns: new ProviderTurns(given.clock) };
  return async (jobs: { dealId: string }[], signal: AbortSignal): Promise<void> => {
    const ids = [...new Set(jobs.map(({ dealId }) => dealId))];
    const results = await Promise.allSettled(ids.map((dealId) => sendDeal(deps, dealId, signal)));
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    for (const failure of failures) deps.log.warn({ error: describeError(failure) }, 'send.failed');
    if (failures.length > 0) throw new AggregateError(failures, failures.map(describeError).join('; '));
  };
}
