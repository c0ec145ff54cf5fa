import type { FoundMessage } from '../../chain/messages.ts';
import { RpcError } from '../../chain/rpc-error.ts';
import { unreachable } from '../../errors.ts';
import { FormatError } from '../../filecoin/format-error.ts';
import { decodeSignedProposal } from '../../filecoin/proposal.ts';
import { listCursors } from './chain-cursor-store.ts';
import type { At } from './deal-step.ts';
import { insertDifferences } from './difference-store.ts';
import { isPublish, readPublish, type PublishedProposal } from './scan-publishes.ts';
import { settleNamedDeal } from './settle-named-deal.ts';
import type { WatchDeps } from './watch-sight.ts';
import { findRecord, type DealRecord } from './watch-store.ts';

/** What a message that a provider named as the publish of a deal turned out to be. */
export type PublishFinding =
  /** Not executed as of our last look at the chain. */
  | { kind: 'pending' }
  /** It is on chain, and published nothing. */
  | { kind: 'failed'; exitCode: number }
  /** It calls something else, which may publish in turn: only events tell. */
  | { kind: 'wrapped'; to: string }
  /** It publishes, but not this deal. */
  | { kind: 'not_in_it' }
  /** The market actor refused this deal of it: funds, DataCap, signature, a duplicate, or too late. */
  | { kind: 'dropped' }
  /** The state holds the id, and not with our eleven fields. */
  | { kind: 'differs'; chainDealId: bigint; fields: string[] }
  | { kind: 'published'; chainDealId: bigint };

/**
 * Looks into the message that a provider names: its receipt, our place among its valid deals, and the id that it has by
 * that; then at the state, of which alone anything is believed. Where it is ours the deal moves, as by an event.
 */
export async function lookIntoPublishMessage(
  deps: WatchDeps,
  { dealId, message }: { dealId: string; message: string },
  signal: AbortSignal,
): Promise<PublishFinding> {
  const deal = await findRecord(deps.db, dealId);
  const { reads } = await listCursors(deps.db);
  if (deal === undefined || reads === undefined) return { kind: 'pending' };
  const found = await searchReceipt(deps, message, signal);
  // The receipt stands one tipset after the message; the state as of that tipset has its effects.
  if (found === undefined || found.height > reads.height) return { kind: 'pending' };
  const named = await proposalIn(deps, deal, found, signal);
  if ('kind' in named) return named;
  const chainDealId = named.dealId;
  if (chainDealId === undefined) return { kind: 'dropped' };
  // The height of the message is known where the deal is not known to be on chain.
  const published = deal.chainDealId === chainDealId ? undefined : { epoch: found.height - 1, message: found.message };
  const settled = await settleNamedDeal(deps, { deal, chainDealId, published }, signal);
  switch (settled.kind) {
    case 'pending':
      return { kind: 'pending' };
    case 'published':
      return { kind: 'published', chainDealId };
    case 'absent':
      return { kind: 'differs', chainDealId, fields: ['state'] };
    case 'differs':
      return await tellDifference(deps, { deal, chainDealId, fields: settled.fields, at: settled.at });
    default:
      return unreachable(settled);
  }
}

/** What a gateway does not search for is found by its events, or in the scan of messages. */
async function searchReceipt(
  { chain }: WatchDeps,
  message: string,
  signal: AbortSignal,
): Promise<FoundMessage | undefined> {
  try {
    return await chain.searchMessage(message, signal);
  } catch (error) {
    if (error instanceof RpcError && error.code === 'RPC_LOOKBACK') return undefined;
    throw error;
  }
}

async function proposalIn(
  deps: WatchDeps,
  deal: DealRecord,
  found: FoundMessage,
  signal: AbortSignal,
): Promise<PublishedProposal | PublishFinding> {
  if (found.exitCode !== 0) return { kind: 'failed', exitCode: found.exitCode };
  const body = await deps.chain.getMessage(found.message, signal);
  if (body === undefined) return { kind: 'pending' };
  if (!isPublish(body)) return { kind: 'wrapped', to: body.to };
  try {
    const ours = decodeSignedProposal(deal.signedProposal).proposalBytes;
    const named = readPublish(body.params, found.returned).find(({ proposalBytes }) =>
      Buffer.from(proposalBytes).equals(ours),
    );
    return named ?? { kind: 'not_in_it' };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { kind: 'not_in_it' };
  }
}

async function tellDifference(
  { db, clock, log }: WatchDeps,
  { deal, chainDealId, fields, at }: { deal: DealRecord; chainDealId: bigint; fields: string[]; at: At },
): Promise<PublishFinding> {
  const detail = `its publish message names chain deal ${chainDealId}, which differs in ${fields.join(', ')}`;
  const difference = { dealId: deal.id, kind: 'another_proposal' as const, detail };
  log.error({ ...difference, epoch: at.epoch }, 'watch.difference');
  await insertDifferences(db, [difference], { epoch: at.epoch, tipset: at.tipset, at: clock.now() });
  return { kind: 'differs', chainDealId, fields };
}
