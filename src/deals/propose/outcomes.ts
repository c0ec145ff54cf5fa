import type { DealState } from '../../db/tables.ts';
import { unreachable } from '../../errors.ts';
import { refusalClass } from '../send/refusals.ts';
import { noEvidence, type Evidence } from './candidate.ts';

/** Deals of one provider that went the same way, for the same reason. */
export interface OutcomeCount {
  provider: string;
  state: DealState;
  reasonCode: string | undefined;
  count: number;
  lastAt: Date;
  /** On average, of those that became active. */
  activeEpochsBeforeStart: number | undefined;
}

/** Of a deal that an operator gave up, or that never left: nothing that its provider did. */
const GIVEN_UP = 'called_off';

/**
 * Whether such deals speak for their provider or against it; undefined: neither, as they are under way, or ended by our
 * own fault or by terms that another proposal mends.
 */
export function speaksFor({ state, reasonCode }: Pick<OutcomeCount, 'state' | 'reasonCode'>): boolean | undefined {
  switch (state) {
    case 'active':
    case 'expired':
      return true;
    case 'failed':
    case 'missed':
    case 'slashed':
      return false;
    case 'abandoned':
      return reasonCode === GIVEN_UP ? undefined : false;
    case 'rejected': {
      const kind = refusalClass(reasonCode ?? '');
      return kind === 'bug' || kind === 'change-terms' ? undefined : false;
    }
    case 'signed':
    case 'sent':
    case 'accepted':
    case 'published':
      return undefined;
    default:
      return unreachable(state);
  }
}

function later(a: Date | undefined, b: Date): Date {
  return a === undefined || b > a ? b : a;
}

/** The evidence on each provider that there is any on. */
export function countOutcomes(counts: readonly OutcomeCount[]): Map<string, Evidence> {
  const all = new Map<string, Evidence>();
  for (const { provider, count, lastAt, activeEpochsBeforeStart: quickness, ...outcome } of counts) {
    const isGood = speaksFor(outcome);
    if (isGood === undefined) continue;
    const known = all.get(provider) ?? noEvidence;
    all.set(provider, {
      successes: known.successes + (isGood ? count : 0),
      failures: known.failures + (isGood ? 0 : count),
      lastOutcomeAt: later(known.lastOutcomeAt, lastAt),
      activeEpochsBeforeStart: outcome.state === 'active' ? quickness : known.activeEpochsBeforeStart,
    });
  }
  return all;
}
