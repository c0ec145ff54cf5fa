import type { DealEvent } from '../../chain/actor-events.ts';
import type { Chain } from '../../chain/chain.ts';
import { MAX_WITNESSES } from './hear-witnesses.ts';
import type { WatchChain } from './watch-sight.ts';

type Question = Parameters<Chain['dealEvents']>[0];

/**
 * What the node and its witnesses tell together. A node that has lost events, or says null for none as Lotus does, is not
 * to be told from one where nothing happened; and what one node alone tells does no harm, as every deal is read from the
 * state after it. Only the node itself must answer.
 */
export async function hearEvents(chain: WatchChain, question: Question): Promise<DealEvent[]> {
  const { witnesses = [] } = chain;
  const others = witnesses.slice(0, MAX_WITNESSES).map(async (witness) => {
    try {
      return await witness.dealEvents(question);
    } catch {
      question.signal?.throwIfAborted();
      return [];
    }
  });
  const [own, ...more] = await Promise.all([chain.dealEvents(question), ...others]);
  const heard = new Map<string, DealEvent>();
  for (const event of [...own, ...more.flat()]) {
    const key = [event.type, event.dealId, event.tipset.join(), event.message].join(' ');
    if (!heard.has(key)) heard.set(key, event);
  }
  return [...heard.values()].toSorted((a, b) => a.height - b.height);
}
