import { classifyRefusal } from '../deals/send/refusals.ts';
import type {
  AskAnswer,
  ProposeAnswer,
  StatusAnswer,
  Transport,
  TransportsAnswer,
} from '../deals/transport/transport.ts';
import type { ProviderAnswer } from './counters.ts';

type Told = Pick<ProviderAnswer, 'outcome' | 'refusal'>;

/** Of a duplicate only its own uuid makes a difference, and that is an acceptance. */
function proposeOutcome(answer: ProposeAnswer): Told {
  if (answer.kind !== 'answered') return endOf(answer);
  if (answer.accepted) return { outcome: 'accepted' };
  const refusal = classifyRefusal(answer.message, { ourUuid: '' });
  return { outcome: 'refused', refusal: refusal.kind === 'duplicate' ? 'duplicate' : refusal.code };
}

function endOf({ kind }: ProposeAnswer | StatusAnswer | AskAnswer | TransportsAnswer): Told {
  return { outcome: kind === 'not-connected' ? 'not_connected' : kind };
}

/** The same transport, which tells of each answer: no stage knows of it. */
export function countProviderAnswers(transport: Transport, tell: (answer: ProviderAnswer) => void): Transport {
  const timed = async <T>(question: ProviderAnswer['question'], ask: Promise<T>, told: (answer: T) => Told) => {
    const begun = performance.now();
    const answer = await ask;
    tell({ question, ...told(answer), ms: performance.now() - begun });
    return answer;
  };
  const { transports } = transport;
  return {
    propose: (...given) => timed('propose', transport.propose(...given), proposeOutcome),
    status: (...given) => timed('status', transport.status(...given), endOf),
    ask: (...given) => timed('ask', transport.ask(...given), endOf),
    ...(transports !== undefined && {
      transports: (...given) => timed('transports', transports.apply(transport, given), endOf),
    }),
    close: () => transport.close(),
  };
}
