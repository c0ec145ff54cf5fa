import type { DealEvent } from '../../chain/actor-events.ts';
import type { Chain } from '../../chain/chain.ts';
import { RpcError } from '../../chain/rpc-error.ts';
import { MAX_WITNESSES } from './hear-witnesses.ts';
import type { WatchChain } from './watch-sight.ts';

export type EventQuestion = Parameters<Chain['dealEvents']>[0];

/** How nodes say that they keep no actor events, beside not knowing the method. */
const NO_EVENTS = /EnableActorEventsAPI|EnableActorEvents|module disabled|not supported/i;

export function hasNoEvents(error: unknown): boolean {
  if (!(error instanceof RpcError)) return false;
  return error.code === 'RPC_METHOD_NOT_FOUND' || (error.code === 'RPC_ERROR' && NO_EVENTS.test(error.message));
}

/**
 * Silence is believed when it was heard so often. Lotus says null for no events, and so does a node, or a gateway before
 * it, that lost its answer: only asking again tells the one from the other. Three rounds of three nodes, each of which
 * loses three answers of ten, miss an event once in 50,000 questions.
 */
const SILENT_ROUNDS = 3;

type Node = Pick<WatchChain, 'dealEvents'>;

/**
 * What the node and its witnesses tell together. A node that has lost events, or says null for none as Lotus does, is not
 * to be told from one where nothing happened; and what one node alone tells does no harm, as every deal is read from the
 * state after it. The node itself must answer, unless it keeps no events and a witness does.
 */
export async function hearEvents(chain: WatchChain, question: EventQuestion): Promise<DealEvent[]> {
  const nodes: Node[] = [chain, ...(chain.witnesses ?? []).slice(0, MAX_WITNESSES)];
  const answers = await askAll(nodes, question);
  const own = answers[0];
  const answering = nodes.filter((_node, at) => answers[at]?.status === 'fulfilled');
  if (own?.status === 'rejected' && !(hasNoEvents(own.reason) && answering.length > 0)) throw own.reason;
  let heard = gatherEvents(answers);
  for (let round = 1; heard.length === 0 && round < SILENT_ROUNDS; round += 1) {
    heard = gatherEvents(await askAll(answering, question));
  }
  return heard;
}

async function askAll(nodes: readonly Node[], question: EventQuestion) {
  const answers = await Promise.allSettled(nodes.map((node) => node.dealEvents(question)));
  question.signal.throwIfAborted();
  return answers;
}

/** Each event once, lowest first. */
export function gatherEvents(answers: readonly PromiseSettledResult<DealEvent[]>[]): DealEvent[] {
  const heard = new Map<string, DealEvent>();
  for (const event of answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))) {
    const key = [event.type, event.dealId, event.tipset.join(), event.message].join(' ');
    if (!heard.has(key)) heard.set(key, event);
  }
  return [...heard.values()].toSorted((a, b) => a.height - b.height);
}
