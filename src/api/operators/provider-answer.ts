import { Type } from 'typebox';
import type { OutcomeCount } from '../../deals/propose/outcomes.ts';
import type { Provider } from '../../deals/providers/provider-store.ts';
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
});
export const shownSchema = exactly({ ...providerSchema.properties, outcomes: Type.Array(outcomeSchema) });

export function outcomeAnswer({ state, reasonCode, count, lastAt }: OutcomeCount) {
  return { state, reasonCode: reasonCode ?? null, count, last: formatOffsetTime(lastAt, 'microseconds') };
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
