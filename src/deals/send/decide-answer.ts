import { classifyRefusal, type Refused } from './refusals.ts';
import type { ProposeAnswer, StatusAnswer } from '../transport/transport.ts';

/** A proposal as it stood before this attempt. */
export interface Attempted {
  dealId: string;
  /** This attempt included. */
  attempts: number;
  /** Bytes of an earlier attempt may have reached the provider, and it never answered. */
  maybeReceived: boolean;
}

export type AnswerStep =
  | { kind: 'accept'; text: string }
  | { kind: 'reject'; code: string; text: string; refused: Refused | undefined }
  /** Refused now, but an earlier copy of the same bytes may be held: only the deal's status can tell. */
  | { kind: 'ask-status'; text: string; refused: Refused }
  /** `unreached`: there was no connection, so the provider's addresses may be old. */
  | { kind: 'later'; maybeReceived: boolean; unreached: boolean; why: string };

/** A step after which there is nothing left to ask. */
export type SettleStep = Exclude<AnswerStep, { kind: 'ask-status' }>;

/** A provider that could not be reached this often, with nothing of the proposal ever sent, loses it to another. */
export const MAX_UNCONNECTED_ATTEMPTS = 3;

/** What it means that nothing of this attempt left. */
export function decideUnreached(deal: Attempted, why: string): SettleStep {
  const givenUp = !deal.maybeReceived && deal.attempts >= MAX_UNCONNECTED_ATTEMPTS;
  if (givenUp) return { kind: 'reject', code: 'unreachable', text: why, refused: undefined };
  return { kind: 'later', maybeReceived: deal.maybeReceived, unreached: true, why };
}

/** What an answer to a proposal means. Pure; only what is certain ends a proposal. */
export function decideAnswer(deal: Attempted, answer: ProposeAnswer): AnswerStep {
  if (answer.kind === 'unknown') return { kind: 'later', maybeReceived: true, unreached: false, why: answer.why };
  if (answer.kind === 'not-connected') return decideUnreached(deal, answer.why);
  const text = answer.message;
  if (answer.accepted) return { kind: 'accept', text };
  const refusal = classifyRefusal(text, { ourUuid: deal.dealId });
  if (refusal.kind === 'duplicate') return { kind: 'accept', text };
  if (deal.maybeReceived && !refusal.afterDuplicateCheck) return { kind: 'ask-status', text, refused: refusal };
  return { kind: 'reject', code: refusal.code, text, refused: refusal };
}

/** Boost's words for a uuid that it does not hold; Curio's are the same for an unknown deal and a failed one. */
const NOT_HELD = /no storage deal found/i;

/** What the deal's status makes of a refusal that may hide an accepted earlier copy. */
export function decideStatus(step: { text: string; refused: Refused }, status: StatusAnswer): SettleStep {
  const { text, refused } = step;
  if (status.kind === 'known')
    return { kind: 'accept', text: `${text} (status: ${status.status} ${status.error})`.trim() };
  if (status.kind === 'none' && NOT_HELD.test(status.error))
    return { kind: 'reject', code: refused.code, text, refused };
  const why = status.kind === 'none' ? status.error : status.why;
  return {
    kind: 'later',
    maybeReceived: true,
    unreached: false,
    why: `refused (${text}), and its status is not known: ${why}`,
  };
}
