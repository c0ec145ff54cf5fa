import { Type } from 'typebox';
import { speaksFor, type OutcomeCount } from '../../deals/propose/outcomes.ts';
import type { Provider } from '../../deals/providers/provider-store.ts';
import type { Standing } from '../../deals/providers/standing.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { exactly, nullableNumber, nullableText } from '../answers/schemas.ts';

export const providerSchema = exactly({
  id: Type.String(),
  state: Type.String(),
  addressSource: Type.String(),
  peerId: nullableText,
  multiaddrs: Type.Array(Type.String()),
  sectorSize: nullableNumber,
  owner: nullableText,
  added: Type.String(),
  resolved: nullableText,
  resolveError: nullableText,
  retryAt: nullableText,
  failures: Type.Integer(),
  org: nullableText,
  region: nullableText,
  agent: nullableText,
  seen: nullableText,
  transport: nullableText,
  transportSeen: nullableText,
  ask: Type.Union([
    exactly({
      price: Type.String(),
      verifiedPrice: Type.String(),
      minPieceSize: Type.Number(),
      maxPieceSize: Type.Number(),
      asked: Type.String(),
    }),
    Type.Null(),
  ]),
});

/** How its deals of the last half year went, by state and reason code. */
const outcomeSchema = exactly({
  state: Type.String(),
  reasonCode: nullableText,
  count: Type.Integer(),
  last: Type.String(),
  counts: Type.Union([Type.Literal('for'), Type.Literal('against'), Type.Null()], {
    description: 'how the score counts them; null: neither way',
  }),
});

const standingSchema = exactly({
  score: Type.Number({ description: '`sureShare` times `freshness`, from 0 to 1: the higher one is chosen first' }),
  sureShare: Type.Number({
    description: "lower bound (Wilson's, 95 %) of the share of its deals that go well, by those of the last half year",
  }),
  freshness: Type.Number({ description: 'what that is worth still: 1 now, half after 30 days without an outcome' }),
  proven: Type.Boolean({ description: 'enough outcomes for the score to say something' }),
  successes: Type.Integer(),
  failures: Type.Integer(),
  lastOutcome: nullableText,
  epochsBeforeStart: Type.Union([Type.Number(), Type.Null()], {
    description: 'how long before its start a deal is active, on average',
  }),
  inFlight: Type.Number({ description: 'padded bytes of proposals that it has not published yet' }),
  proposalsLastHour: Type.Integer(),
  refused: Type.Union([exactly({ code: Type.String(), reason: Type.String() }), Type.Null()], {
    description: 'why nothing at all is proposed to it now; null: it may be chosen',
  }),
});

export const rankedSchema = exactly({ ...providerSchema.properties, standing: standingSchema });
export const shownSchema = exactly({ ...rankedSchema.properties, outcomes: Type.Array(outcomeSchema) });

export function outcomeAnswer({ state, reasonCode, count, lastAt }: OutcomeCount) {
  const isGood = speaksFor({ state, reasonCode });
  const counts = isGood === undefined ? null : isGood ? ('for' as const) : ('against' as const);
  return { state, reasonCode: reasonCode ?? null, count, last: formatOffsetTime(lastAt, 'microseconds'), counts };
}

export function rankedAnswer(from: Provider, standing: Standing) {
  const { score, sureShare, freshness, proven, successes, failures, lastOutcomeAt, inFlightBytes } = standing;
  return {
    ...providerAnswer(from),
    standing: {
      score,
      sureShare,
      freshness,
      proven,
      successes,
      failures,
      lastOutcome: lastOutcomeAt === undefined ? null : formatOffsetTime(lastOutcomeAt, 'microseconds'),
      epochsBeforeStart: standing.activeEpochsBeforeStart ?? null,
      inFlight: Number(inFlightBytes),
      proposalsLastHour: standing.proposalsLastHour,
      refused: standing.refused ?? null,
    },
  };
}

export function providerAnswer(from: Provider) {
  const time = (at: Date | undefined) => (at === undefined ? null : formatOffsetTime(at, 'microseconds'));
  return {
    id: from.id,
    state: from.state,
    addressSource: from.addressSource,
    peerId: from.peerId ?? null,
    multiaddrs: from.multiaddrs,
    sectorSize: from.sectorBytes === undefined ? null : Number(from.sectorBytes),
    owner: from.ownerId ?? null,
    added: formatOffsetTime(from.addedAt, 'microseconds'),
    resolved: time(from.resolvedAt),
    resolveError: from.resolveError ?? null,
    retryAt: time(from.retryAt),
    failures: from.failures,
    org: from.org ?? null,
    region: from.region ?? null,
    agent: from.agent ?? null,
    seen: time(from.seenAt),
    transport: from.transport ?? null,
    transportSeen: time(from.transportAt),
    ask: askAnswer(from.ask),
  };
}

function askAnswer(ask: Provider['ask']) {
  if (ask === undefined) return null;
  return {
    price: ask.price.toString(),
    verifiedPrice: ask.verifiedPrice.toString(),
    minPieceSize: Number(ask.minPieceBytes),
    maxPieceSize: Number(ask.maxPieceBytes),
    asked: formatOffsetTime(ask.at, 'microseconds'),
  };
}
