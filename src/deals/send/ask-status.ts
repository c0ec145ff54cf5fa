import { RpcError } from '../../chain/rpc-error.ts';
import type { Chain } from '../../chain/chain.ts';
import { describeError, LadingError } from '../../errors.ts';
import { moveDeal } from '../move-deal.ts';
import type { KnownStatus, StatusAnswer, Transport } from '../transport/transport.ts';
import type { Wallet } from '../wallet/wallet.ts';
import { lookIntoPublishMessage } from '../watch/look-into-publish-message.ts';
import type { WatchDeps } from '../watch/watch-sight.ts';
import { statusWaitMs } from './back-off.ts';
import { decideSaid, saidText, type SaidOfDeal } from './decide-status.ts';
import { lookIntoChainDeal } from './look-into-chain-deal.ts';
import { askStatus, noteHeard, readProvider, targetOf } from './reach-provider.ts';
import { settleAnswer } from './send-store.ts';
import { findDealToAsk, noteSaid, takeTurn, type DealToAsk } from './status-store.ts';
import { storableText } from '../../storable-text.ts';

export interface StatusDeps extends WatchDeps {
  chain: WatchDeps['chain'] & Pick<Chain, 'minerInfo'>;
  /** Signs the question. */
  wallet: Wallet;
  transport: Pick<Transport, 'status'>;
  /** Uniform in [0, 1). */
  random: () => number;
}

export type StatusOutcome = 'nothing-to-do' | 'overtaken' | 'published' | SaidOfDeal['kind'];

/** Follows what the provider names, a message or a chain deal, to the chain. True: there it is, and the deal has moved. */
async function followToChain(
  deps: StatusDeps,
  deal: DealToAsk,
  { publishMessage, chainDealId }: KnownStatus,
  signal: AbortSignal,
): Promise<boolean> {
  const fields = { dealId: deal.id, provider: deal.provider };
  try {
    if (publishMessage !== undefined) {
      const finding = await lookIntoPublishMessage(deps, { dealId: deal.id, message: publishMessage }, signal);
      deps.log.debug({ ...fields, publishMessage, finding: finding.kind }, 'deal.publish_message_named');
      if (finding.kind === 'published') return true;
    }
    if (chainDealId === undefined) return false;
    const finding = await lookIntoChainDeal(deps, { dealId: deal.id, chainDealId }, signal);
    if (finding.kind === 'differs') {
      const named = chainDealId.toString();
      deps.log.warn({ ...fields, chainDealId: named, differing: finding.fields }, 'deal.named_another');
    }
    return finding.kind === 'published';
  } catch (error) {
    // A chain that cannot be read now makes finding out later, never false.
    if (!(error instanceof RpcError) && !(error instanceof LadingError)) throw error;
    signal.throwIfAborted();
    deps.log.warn({ ...fields, reason: describeError(error) }, 'deal.named_publish_unread');
    return false;
  }
}

/** A provider that knows a deal has accepted it, whatever became of the answer to the proposal. */
async function settleSaid(deps: StatusDeps, deal: DealToAsk, answer: KnownStatus, said: SaidOfDeal): Promise<boolean> {
  const at = deps.clock.now();
  const { id, attempts, provider, aggregateId } = deal;
  const evidence = { provider, status: storableText(answer.status) };
  return await deps.db.transaction().execute(async (trx) => {
    if (deal.state === 'sent') {
      const text = storableText(`its status is known: ${saidText(answer) ?? ''}`);
      if (!(await settleAnswer(trx, { dealId: id, attempts, to: 'accepted', text, evidence }, at))) return false;
    }
    if (said.kind !== 'failed') return true;
    const reason = { code: said.code, text: storableText(said.text) };
    if (!(await moveDeal(trx, { id, from: 'accepted', to: 'failed', at, reason, evidence }))) return false;
    await deps.jobs.send(trx, 'propose', { aggregateId: aggregateId.toString() });
    return true;
  });
}

async function ask(deps: StatusDeps, deal: DealToAsk, signal: AbortSignal): Promise<StatusAnswer> {
  const target = targetOf(await readProvider(deps, deal.provider, signal));
  if (target === undefined) return { kind: 'not-connected', why: 'no peer id or address is known' };
  const answer = await askStatus(deps, deal.id, target, signal);
  signal.throwIfAborted();
  await noteHeard(deps.db, deal.provider, answer, deps.clock.now());
  return answer;
}

/**
 * Asks a provider for one deal that it holds or may hold, and keeps its words. Where it names a publish message or a
 * chain deal, the chain is asked about that; only a definite end that the chain does not contradict makes it failed.
 */
export async function askDeal(deps: StatusDeps, dealId: string, signal: AbortSignal): Promise<StatusOutcome> {
  const deal = await findDealToAsk(deps.db, dealId);
  if (deal === undefined) return 'nothing-to-do';
  const now = deps.clock.now();
  const waitMs = statusWaitMs(now.getTime() - deal.since.getTime(), deps.random());
  if (!(await takeTurn(deps.db, deal, new Date(now.getTime() + waitMs)))) return 'overtaken';
  const answer = await ask(deps, deal, signal);
  const said = decideSaid(answer);
  const text = saidText(answer);
  const publishMessage = answer.kind === 'known' ? answer.publishMessage : undefined;
  if (text !== undefined) await noteSaid(deps.db, deal.id, { text, publishMessage, at: deps.clock.now() });
  if (answer.kind !== 'known') return said.kind;
  if (await followToChain(deps, deal, answer, signal)) return 'published';
  if (deal.state === 'accepted' && said.kind !== 'failed') return said.kind;
  if (!(await settleSaid(deps, deal, answer, said))) return 'overtaken';
  if (said.kind === 'failed') {
    const { code } = said;
    deps.log.warn({ dealId, provider: deal.provider, code, text: storableText(said.text) }, 'deal.failed');
  }
  return said.kind;
}

/** The handler of queue 'status'. */
export function createStatusHandler(deps: StatusDeps) {
  return async (jobs: { dealId: string }[], signal: AbortSignal): Promise<void> => {
    for (const { dealId } of jobs) await askDeal(deps, dealId, signal);
  };
}
