import { unreachable } from '../../errors.ts';
import type { StatusAnswer } from '../transport/transport.ts';

/** What a provider's word on one of our deals comes to. Of `published` and `active` no word of it is believed. */
export type SaidOfDeal =
  | { kind: 'under-way' }
  /** It met a fault that its operator may mend: the deal is neither lost nor safe. */
  | { kind: 'paused' }
  /** Its own last word: it will not store the deal. */
  | { kind: 'failed'; code: 'provider_cancelled' | 'provider_failed'; text: string }
  /** It says that it holds no such deal. Curio says the same of deals that it finished: the chain decides. */
  | { kind: 'unheard' }
  | { kind: 'unanswered' };

/** Boost ends a deal in this state alone when it failed or was cancelled (db: `failDeal`, `cancelDeal`). */
const BOOST_ENDED = 'Complete';
/** States that Curio's GetDealStatus knows. Its error text stands only on deals that failed for good. */
const CURIO_STATES: ReadonlySet<string> = new Set(['Processing', 'Sealing', 'Sealed', 'Sealed and Indexed']);
/** Boost's words for a uuid that it does not hold, and Curio's, which are the same for a deal that failed early. */
const NOT_HELD = /no storage deal found|failed to get sealed deal status/i;

/** Pure; Boost storagemarket/provider.go and types/dealcheckpoints, Curio market/mk12/mk12.go GetDealStatus. */
export function decideSaid(answer: StatusAnswer): SaidOfDeal {
  switch (answer.kind) {
    case 'known': {
      const { status, error } = answer;
      const isOver = status === BOOST_ENDED || (error !== '' && CURIO_STATES.has(status));
      if (isOver) return failed(status, error);
      return { kind: error === '' ? 'under-way' : 'paused' };
    }
    case 'none':
      // Any other fault is of the moment: its sealer or its node does not answer it.
      return { kind: NOT_HELD.test(answer.error) ? 'unheard' : 'unanswered' };
    case 'unknown':
    case 'not-connected':
      return { kind: 'unanswered' };
    default:
      return unreachable(answer);
  }
}

function failed(status: string, error: string): SaidOfDeal {
  const code = /^cancel+ed/i.test(error) ? 'provider_cancelled' : 'provider_failed';
  return { kind: 'failed', code, text: error === '' ? `it ended the deal (${status}) without a reason` : error };
}

/** What is shown of an answer; undefined: nothing was said. */
export function saidText(answer: StatusAnswer): string | undefined {
  if (answer.kind === 'none') return answer.error || undefined;
  if (answer.kind !== 'known') return undefined;
  const { status, error } = answer;
  return error === '' ? status : `${status}: ${error}`;
}
