import { nextSealTime, type OpenAggregate, type SealRules } from '../../aggregate/place/placement-rules.ts';
import type { AggregateState, UploadState } from '../../db/tables.ts';
import { unreachable } from '../../errors.ts';
import { etaActive, UNKNOWN_ETA, type EtaActive, type Outlooks, type Standing } from './forecast.ts';
import { formatOffsetTime } from './time-format.ts';
import { PAUSED, reasonWithoutDeals, whyNobody, type LastChoice, type Why } from './why-nobody.ts';

/** The aggregate that an upload without deals lies in. */
export interface QueueingAggregate extends OpenAggregate {
  state: AggregateState;
  /** The upload's place in it, from 0. */
  seq: number;
  /** Its bytes are not kept any more: nothing can be proposed before they are fetched back. */
  released?: boolean;
  /** How far it has come; undefined once a deal of it was active. */
  standing?: Standing | undefined;
  /** The last decision on whom to propose it to. */
  lastChoice?: LastChoice | undefined;
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
  /** When it became complete, where it waits. */
  acceptedAt?: Date | undefined;
  /** Its place among the uploads that wait for an aggregate, from 1; undefined when it does not wait. */
  position: number | undefined;
  /** Of a cut upload, that of the part which has come the least far. */
  aggregate: QueueingAggregate | undefined;
  /** Of a cut upload: how many parts lie in an aggregate, of how many. */
  parts?: { placed: number; total: number };
  lastRefusal: LastRefusal | undefined;
  /** An operator has paused proposing as a whole: no upload without deals gets any meanwhile. */
  proposingPaused: boolean;
}

/** What else bears on it. */
export interface Circumstances {
  rules: SealRules;
  now: Date;
  outlooks: Outlooks;
  /** The chain cannot be read or believed now: nothing new is proposed meanwhile. */
  chainFault: boolean;
}

type Reason =
  | 'incomplete'
  | 'failed'
  | 'removed'
  | 'waiting_for_aggregate'
  | 'aggregate_filling'
  | 'waiting_for_age'
  | 'sealing'
  | 'waiting_for_provider'
  | 'waiting_for_datacap'
  | 'waiting_for_escrow'
  | 'waiting_for_chain'
  | 'proposing_paused'
  | 'bytes_released';

export interface Queueing {
  reason: Reason;
  position: number | null;
  /** Share of the aggregate's capacity that is taken, 0 to 1. */
  aggregateFill: number | null;
  /** The aggregate is sealed by then, whatever else comes. */
  sealsBy: string | null;
  /** From measured history: null until there is enough. */
  etaActive: EtaActive;
  parts?: { placed: number; total: number };
  missing?: { count: number; first: string };
  failure?: string;
  lastRefusal?: { miner: string; text: string; at: string };
  /** Why nobody is asked to store it: what the last decision refused providers for. */
  why?: Why[];
}

const NOTHING_KNOWN = { position: null, aggregateFill: null, sealsBy: null, etaActive: UNKNOWN_ETA };

/** Pure. Why an upload, or a part of a cut one, has no deals to show, and when that may change. */
export function queueing(facts: QueueingFacts, circumstances: Circumstances): Queueing {
  const { parts } = facts;
  const found = reasonOf(facts, circumstances);
  return { ...(facts.proposingPaused ? paused(found) : found), ...(parts === undefined ? {} : { parts }) };
}

/** What none of these waits for is no reason of theirs. */
const PAST_PROPOSING: ReadonlySet<Reason> = new Set<Reason>(['incomplete', 'failed', 'removed']);
/** These are over before a pause is what is waited for: it is told beside them. */
const BEFORE_PROPOSING: ReadonlySet<Reason> = new Set<Reason>([
  'waiting_for_aggregate',
  'aggregate_filling',
  'waiting_for_age',
  'sealing',
  'bytes_released',
]);

/** Nobody knows how long a pause lasts. */
function paused(found: Queueing): Queueing {
  const { reason, why = [] } = found;
  if (PAST_PROPOSING.has(reason)) return found;
  const told = { ...found, etaActive: UNKNOWN_ETA, why: [PAUSED, ...why] };
  return BEFORE_PROPOSING.has(reason) ? told : { ...told, reason: 'proposing_paused' };
}

/** Pure. When an upload will be active: the same whether it has deals that are under way, or none yet. */
export function etaOf(facts: QueueingFacts, { outlooks, now }: Pick<Circumstances, 'outlooks' | 'now'>): EtaActive {
  const standing = standingOf(facts);
  return standing === undefined ? UNKNOWN_ETA : etaActive(outlooks, standing, now);
}

function standingOf({ state, acceptedAt, aggregate }: QueueingFacts): Standing | undefined {
  if (state === 'waiting') return acceptedAt && { stage: 'waiting', since: acceptedAt };
  return state === 'stowed' ? aggregate?.standing : undefined;
}

function reasonOf(facts: QueueingFacts, circumstances: Circumstances): Queueing {
  switch (facts.state) {
    case 'incomplete':
      return { ...NOTHING_KNOWN, reason: 'incomplete', ...missingOf(facts) };
    case 'failed':
      return { ...NOTHING_KNOWN, reason: 'failed', ...missingOf(facts), failure: facts.failure ?? 'unknown' };
    case 'removed':
      return { ...NOTHING_KNOWN, reason: 'removed' };
    case 'waiting':
      return waiting(facts, circumstances);
    case 'stowed':
      return stowed(facts, circumstances);
    default:
      return unreachable(facts.state);
  }
}

function missingOf({ missing }: QueueingFacts) {
  return missing === undefined ? {} : { missing };
}

function waiting(facts: QueueingFacts, circumstances: Circumstances): Queueing {
  return {
    ...NOTHING_KNOWN,
    reason: 'waiting_for_aggregate',
    position: facts.position ?? null,
    sealsBy: sealsOncePlaced(facts, circumstances),
    etaActive: etaOf(facts, circumstances),
  };
}

/**
 * Whatever aggregate takes it, age counts from its own acceptance at the latest. Who waits longer than that has no
 * aggregate to say when.
 */
function sealsOncePlaced({ acceptedAt }: QueueingFacts, { rules, now }: Circumstances): string | null {
  if (acceptedAt === undefined) return null;
  const at = new Date(acceptedAt.getTime() + rules.forceAgeMs);
  return at <= now ? null : formatOffsetTime(at, 'microseconds');
}

function stowed(facts: QueueingFacts, circumstances: Circumstances): Queueing {
  const { aggregate } = facts;
  if (aggregate === undefined) return { ...NOTHING_KNOWN, reason: 'waiting_for_aggregate' };
  const position = aggregate.seq + 1;
  const aggregateFill = Number((aggregate.lengthBytes * 10_000n) / aggregate.capacityBytes) / 10_000;
  const known = { ...NOTHING_KNOWN, position, etaActive: etaOf(facts, circumstances) };
  switch (aggregate.state) {
    case 'open':
      return { ...known, ...filling(aggregate, circumstances.rules), aggregateFill };
    case 'sealing':
      return { ...known, reason: 'sealing', aggregateFill };
    case 'sealed':
      return { ...known, ...sealed(aggregate, facts.lastRefusal, circumstances) };
    default:
      return unreachable(aggregate.state);
  }
}

/** It may be sooner, by size or by an operator. Once there is enough in it for a piece, time alone closes it too. */
function filling(aggregate: QueueingAggregate, rules: SealRules) {
  const at = nextSealTime(aggregate, rules);
  const sealsBy = at === undefined ? null : formatOffsetTime(at, 'microseconds');
  const reason: Reason = aggregate.lengthBytes >= rules.minFillBytes ? 'waiting_for_age' : 'aggregate_filling';
  return { reason, sealsBy };
}

function sealed(
  aggregate: QueueingAggregate,
  last: LastRefusal | undefined,
  { chainFault }: Circumstances,
): Pick<Queueing, 'reason'> & Partial<Queueing> {
  if (aggregate.released === true) return { reason: 'bytes_released', etaActive: UNKNOWN_ETA };
  // How long it lasts until the chain can be read again is nothing that was measured.
  if (chainFault) return { reason: 'waiting_for_chain', etaActive: UNKNOWN_ETA, ...refusalOf(last) };
  const { lastChoice } = aggregate;
  const why = lastChoice === undefined ? [] : whyNobody(lastChoice);
  return { reason: reasonWithoutDeals(lastChoice), ...refusalOf(last), ...(why.length === 0 ? {} : { why }) };
}

function refusalOf(last: LastRefusal | undefined) {
  if (last === undefined) return {};
  return { lastRefusal: { miner: last.miner, text: last.text, at: formatOffsetTime(last.at, 'microseconds') } };
}
