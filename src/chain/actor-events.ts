import { Type, type Static } from 'typebox';
import { idAddress, formatAddress, idOf, parseAddress } from '../filecoin/address.ts';
import { base64CborInt, base64CborText, decodeCbor, type CborValue } from '../filecoin/cbor.ts';
import { FormatError } from '../filecoin/format-error.ts';
import { answerParser, cidLink } from './parse-answer.ts';
import type { Rpc } from './rpc-call.ts';
import { RpcError } from './rpc-error.ts';

/** Events of the market actor (FIP-0083); a deal that times out unactivated has none. */
export const dealEventTypes = ['deal-published', 'deal-activated', 'deal-terminated', 'deal-completed'] as const;
export type DealEventType = (typeof dealEventTypes)[number];

/** An event of any actor, its values decoded from CBOR. */
export interface ActorEvent {
  type: string;
  /** In the order of the event; a key may come more than once. */
  entries: { key: string; value: CborValue }[];
  emitter: string;
  /** Height of the tipset with the message; its effects show in the state of the next tipset. */
  height: number;
  tipset: string[];
  message: string;
}

export interface DealEvent {
  type: DealEventType;
  dealId: bigint;
  /** `f0…` */
  client: string;
  /** `f0…` */
  provider: string;
  height: number;
  tipset: string[];
  message: string;
}

export interface DealEventFilter {
  /** Both ends are included; nodes answer for at most 2,880 epochs at once. */
  fromHeight: number;
  toHeight: number;
  types: readonly DealEventType[];
  /** `f0…`; any of them. */
  clients: readonly string[];
  /** `f0…`; any of them, and of all providers where there are none. */
  providers?: readonly string[];
  signal: AbortSignal;
}

const METHOD = 'GetActorEventsRaw';
const MARKET_ACTOR = 'f05';
/** DAG-CBOR: what built-in actors encode event values in. */
const CBOR_CODEC = 0x51;
/** The longest range a node answers for with its default settings (MaxFilterHeightRange). */
export const MAX_EVENT_RANGE_EPOCHS = 2_880;
/** How nodes refuse a range that is too long for them, or one with more than 10,000 results. */
const RANGE_REFUSED = /\brange\b|too (many|big|large|long|wide)|more restricted filter|exceed|limited to/i;
/** The code of FRC-0116 for it, which some providers also give to who asks too often. */
const RANGE_EXCEEDED = -32_005;
const TOO_OFTEN = /\brate\b|requests|per second/i;

const actorEvents = Type.Union([
  Type.Null(),
  Type.Array(
    Type.Object({
      entries: Type.Array(Type.Object({ Key: Type.String(), Codec: Type.Integer(), Value: Type.String() })),
      emitter: Type.String(),
      reverted: Type.Boolean(),
      height: Type.Integer({ minimum: 0 }),
      tipsetKey: Type.Array(cidLink),
      msgCid: cidLink,
    }),
  ),
]);

type RawEvent = NonNullable<Static<typeof actorEvents>>[number];

function readEvent(raw: RawEvent): ActorEvent {
  const entries = raw.entries
    .filter(({ Codec }) => Codec === CBOR_CODEC)
    .map(({ Key, Value }) => ({ key: Key, value: decodeCbor(Buffer.from(Value, 'base64')) }));
  const type = entries.find(({ key }) => key === '$type')?.value;
  return {
    type: typeof type === 'string' ? type : '',
    entries,
    emitter: raw.emitter,
    height: raw.height,
    tipset: raw.tipsetKey.map((cid) => cid['/']),
    message: raw.msgCid['/'],
  };
}

/** No events are `null`; events that a reorg took back are left out. */
export const parseActorEvents = answerParser(actorEvents, (raw) =>
  (raw ?? []).filter(({ reverted }) => !reverted).map(readEvent),
);

function uintOf(event: ActorEvent, key: string): bigint {
  const value = event.entries.find((entry) => entry.key === key)?.value;
  if (typeof value === 'bigint' && value >= 0n) return value;
  if (typeof value === 'number' && value >= 0) return BigInt(value);
  throw new FormatError('INVALID_EVENT', `a ${event.type} event without a number as ${key}`);
}

/** The deal of a market event; undefined for an event of another type. */
export function toDealEvent(event: ActorEvent): DealEvent | undefined {
  const type = dealEventTypes.find((known) => known === event.type);
  if (type === undefined) return undefined;
  const { height, tipset, message } = event;
  const idText = (key: string) => formatAddress(idAddress(uintOf(event, key)));
  return {
    type,
    dealId: uintOf(event, 'id'),
    client: idText('client'),
    provider: idText('provider'),
    height,
    tipset,
    message,
  };
}

function filterParam(filter: DealEventFilter) {
  const value = (base64: string) => ({ codec: CBOR_CODEC, value: base64 });
  const anyOf = (ids: readonly string[]) => ids.map((id) => value(base64CborInt(idOf(parseAddress(id)))));
  return {
    addresses: [MARKET_ACTOR],
    fromHeight: filter.fromHeight,
    toHeight: filter.toHeight,
    fields: {
      $type: filter.types.map((type) => value(base64CborText(type))),
      client: anyOf(filter.clients),
      ...(filter.providers !== undefined && { provider: anyOf(filter.providers) }),
    },
  };
}

function isRangeRefused(error: unknown): error is RpcError {
  if (!(error instanceof RpcError) || error.code !== 'RPC_ERROR' || TOO_OFTEN.test(error.why)) return false;
  return error.rpcCode === RANGE_EXCEEDED || RANGE_REFUSED.test(error.why);
}

const NAMED_LIMIT = /(?:max\w*|limit\w*|up to|at most|more than|exceeds?)\D{0,30}?(\d{1,6})\b/i;

/** The range that the node says it answers for, where it names one that is shorter than what was asked. */
function namedRange({ why }: RpcError, epochs: number): number | undefined {
  const named = Number(NAMED_LIMIT.exec(why)?.[1] ?? 0);
  return named > 1 && named < epochs ? named : undefined;
}

async function readRange(rpc: Rpc, filter: DealEventFilter): Promise<DealEvent[]> {
  const read = { method: METHOD, params: [filterParam(filter)], parse: parseActorEvents } as const;
  const events = await rpc.read(read, filter.signal);
  const wanted = events.flatMap((event) => toDealEvent(event) ?? []).filter((event) => isAsked(event, filter));
  return wanted.toSorted((a, b) => a.height - b.height);
}

/** Deal events in order of height; a range that is too long for the node, or has too many of them, is cut. */
export function readDealEvents(rpc: Rpc, filter: DealEventFilter): Promise<DealEvent[]> {
  return readCut(rpc, filter, true);
}

/** What the node names is tried once: from there on ranges are halved, so that no wording makes this long. */
async function readCut(rpc: Rpc, filter: DealEventFilter, tryNamed: boolean): Promise<DealEvent[]> {
  const { fromHeight, toHeight } = filter;
  try {
    return await readRange(rpc, filter);
  } catch (error) {
    if (!isRangeRefused(error) || toHeight <= fromHeight) throw error;
    const epochs = toHeight - fromHeight + 1;
    const step = (tryNamed ? namedRange(error, epochs) : undefined) ?? Math.ceil(epochs / 2);
    const found: DealEvent[] = [];
    for (let from = fromHeight; from <= toHeight; from += step) {
      const to = Math.min(toHeight, from + step - 1);
      for (const event of await readCut(rpc, { ...filter, fromHeight: from, toHeight: to }, false)) found.push(event);
    }
    return found;
  }
}

/** A node that does not know a part of the filter must not hand us strangers' deals. */
function isAsked({ type, client, provider, height }: DealEvent, filter: DealEventFilter): boolean {
  const inRange = height >= filter.fromHeight && height <= filter.toHeight;
  if (filter.providers?.includes(provider) === false) return false;
  return inRange && filter.types.includes(type) && filter.clients.includes(client);
}
