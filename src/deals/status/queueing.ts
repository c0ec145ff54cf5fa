import { nextSealTime, type OpenAggregate, type SealRules } from '../../aggregate/place/placement-rules.ts';
import type { AggregateState, UploadState } from '../../db/tables.ts';
import { unreachable } from '../../errors.ts';
import { formatOffsetTime } from './time-format.ts';

/** The aggregate that an upload without deals lies in. */
export interface QueueingAggregate extends OpenAggregate {
  state: AggregateState;
  /** The upload's place in it, from 0. */
  seq: number;
  /** Its bytes are not kept any more: nothing can be proposed. */
  released?: boolean;
}

interface LastRefusal {
  miner: string;
  text: string;
  at: Date;
}

/** An upload without deals, and all that says why. */
export interface QueueingFacts {
  state: UploadState;
  missing: { count: number; first: string } | undefined;
  failure: string | null;
  /** Its place among the uploads that wait for an aggregate, from 1; undefined when it does not wait. */
  position: number | undefined;
  /** Of a cut upload, that of the part which has come the least far. */
  aggregate: QueueingAggregate | undefined;
  /** Of a cut upload: how many parts lie in an aggregate, of how many. */
  parts?: { placed: number; total: number };
  lastRefusal: LastRefusal | undefined;
}

type Reason =
  | 'incomplete'
  | 'failed'
  | 'removed'
  | 'waiting_for_aggregate'
  | 'aggregate_filling'
  | 'sealing'
  | 'waiting_for_provider'
  | 'bytes_released';

export interface Queueing {
  reason: Reason;
  position: number | null;
  /** Share of the aggregate's capacity that is taken, 0 to 1. */
  aggregateFill: number | null;
  /** The aggregate is sealed by then, whatever else comes. */
  sealsBy: string | null;
  /** From measured history: null until there is some. */
  etaActive: { p50: string | null; p95: string | null };
  parts?: { placed: number; total: number };
  missing?: { count: number; first: string };
  failure?: string;
  lastRefusal?: { miner: string; text: string; at: string };
}

const UNKNOWN_ETA = { p50: null, p95: null };
const NOTHING_KNOWN = { position: null, aggregateFill: null, sealsBy: null, etaActive: UNKNOWN_ETA };

/** Pure. Why an upload, or a part of a cut one, has no deals to show, and when that may change. */
export function queueing(facts: QueueingFacts, rules: SealRules): Queueing {
  return { ...reasonOf(facts, rules), ...(facts.parts === undefined ? {} : { parts: facts.parts }) };
}

function reasonOf(facts: QueueingFacts, rules: SealRules): Queueing {
  switch (facts.state) {
    case 'incomplete':
      return { ...NOTHING_KNOWN, reason: 'incomplete', ...missingOf(facts) };
    case 'failed':
      return { ...NOTHING_KNOWN, reason: 'failed', ...missingOf(facts), failure: facts.failure ?? 'unknown' };
    case 'removed':
      return { ...NOTHING_KNOWN, reason: 'removed' };
    case 'waiting':
      return { ...NOTHING_KNOWN, reason: 'waiting_for_aggregate', position: facts.position ?? null };
    case 'stowed':
      return stowed(facts, rules);
    default:
      return unreachable(facts.state);
  }
}

function missingOf({ missing }: QueueingFacts) {
  return missing === undefined ? {} : { missing };
}

function stowed({ aggregate, lastRefusal }: QueueingFacts, rules: SealRules): Queueing {
  if (aggregate === undefined) return { ...NOTHING_KNOWN, reason: 'waiting_for_aggregate' };
  const position = aggregate.seq + 1;
  const aggregateFill = Number((aggregate.lengthBytes * 10_000n) / aggregate.capacityBytes) / 10_000;
  switch (aggregate.state) {
    case 'open':
      return {
        ...NOTHING_KNOWN,
        reason: 'aggregate_filling',
        position,
        aggregateFill,
        sealsBy: sealsBy(aggregate, rules),
      };
    case 'sealing':
      return { ...NOTHING_KNOWN, reason: 'sealing', position, aggregateFill };
    case 'sealed':
      if (aggregate.released === true) return { ...NOTHING_KNOWN, reason: 'bytes_released', position };
      return { ...NOTHING_KNOWN, reason: 'waiting_for_provider', position, ...refusalOf(lastRefusal) };
    default:
      return unreachable(aggregate.state);
  }
}

/** It may be sooner, by size or by an operator. */
function sealsBy(aggregate: QueueingAggregate, rules: SealRules): string | null {
  const at = nextSealTime(aggregate, rules);
  return at === undefined ? null : formatOffsetTime(at, 'microseconds');
}

function refusalOf(last: LastRefusal | undefined) {
  if (last === undefined) return {};
  return { lastRefusal: { miner: last.miner, text: last.text, at: formatOffsetTime(last.at, 'microseconds') } };
}
