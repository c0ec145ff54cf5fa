import type { DealEvent } from '../../chain/actor-events.ts';
import type { Chain } from '../../chain/chain.ts';
import { RpcError } from '../../chain/rpc-error.ts';
import { MAX_WITNESSES } from './hear-witnesses.ts';
import type { WatchChain } from './watch-sight.ts';

type Question = Parameters<Chain['dealEvents']>[0];

/** How nodes say that they keep no actor events, beside not knowing the method. */
const NO_EVENTS = /EnableActorEventsAPI|EnableActorEvents|module disabled|not supported/i;

export function hasNoEvents(error: unknown): boolean {
  if (!(error instanceof RpcError)) return false;
  return error.code === 'RPC_METHOD_NOT_FOUND' || (error.code === 'RPC_ERROR' && NO_EVENTS.test(error.message));
}

/**
 * What the node and its witnesses tell together. A node that has lost events, or says null for none as Lotus does, is not
 * to be told from one where nothing happened; and what one node alone tells does no harm, as every deal is read from the
 * state after it. The node itself must answer, unless it keeps no events and a witness does.
 */
export async function hearEvents(chain: WatchChain, question: Question): Promise<DealEvent[]> {
  const nodes = [chain, ...(chain.witnesses ?? []).slice(0, MAX_WITNESSES)];
  const [own, ...others] = await Promise.allSettled(nodes.map((node) => node.dealEvents(question)));
  question.signal.throwIfAborted();
  const told = others.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  if (own?.status === 'rejected' && !(hasNoEvents(own.reason) && told.length > 0)) throw own.reason;
  if (own?.status === 'fulfilled') told.unshift(own.value);
  const heard = new Map<string, DealEvent>();
  for (const event of told.flat()) {
    const key = [event.type, event.dealId, event.tipset.join(), event.message].join(' ');
    if (!heard.has(key)) heard.set(key, event);
  }
  return [...heard.values()].toSorted((a, b) => a.height - b.height);
}
