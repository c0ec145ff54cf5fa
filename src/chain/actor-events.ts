import { Type, type Static } from 'typebox';
import { idAddress, formatAddress, idOf, parseAddress } from '../filecoin/address.ts';
import { base64CborInt, base64CborText, decodeCbor, type CborValue } from '../filecoin/cbor.ts';
import { FormatError } from '../filecoin/format-error.ts';
import { answerParser, cidLink } from './parse-answer.ts';
import type { Rpc } from './rpc.ts';
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
  signal?: AbortSignal | undefined;
}

const METHOD = 'GetActorEventsRaw';
const MARKET_ACTOR = 'f05';
/** DAG-CBOR: what built-in actors encode event values in. */
const CBOR_CODEC = 0x51;
/** The longest range a node answers for with its default settings (MaxFilterHeightRange). */
export const MAX_EVENT_RANGE_EPOCHS = 2_880;
/** Lotus and Forest refuse more than 10,000 results with these words, gateways with this code. */
const TOO_MANY = /too many events|more restricted filter|too many results/i;
const RANGE_EXCEEDED = -32_005;

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
  return {
    addresses: [MARKET_ACTOR],
    fromHeight: filter.fromHeight,
    toHeight: filter.toHeight,
    fields: {
      $type: filter.types.map((type) => value(base64CborText(type))),
      client: filter.clients.map((client) => value(base64CborInt(idOf(parseAddress(client))))),
    },
  };
}

function isTooMany(error: unknown): boolean {
  if (!(error instanceof RpcError) || error.code !== 'RPC_ERROR') return false;
  return error.rpcCode === RANGE_EXCEEDED || TOO_MANY.test(error.message);
}

/** Deal events in order of height; a range with more events than a node hands out is halved. */
export async function readDealEvents(rpc: Rpc, filter: DealEventFilter): Promise<DealEvent[]> {
  const { fromHeight, toHeight, signal } = filter;
  try {
    const events = parseActorEvents(await rpc.call(METHOD, [filterParam(filter)], signal), METHOD);
    const wanted = events.flatMap((event) => toDealEvent(event) ?? []).filter((event) => isAsked(event, filter));
    return wanted.toSorted((a, b) => a.height - b.height);
  } catch (error) {
    if (!isTooMany(error) || toHeight <= fromHeight) throw error;
  }
  const middle = Math.floor((fromHeight + toHeight) / 2);
  const lower = await readDealEvents(rpc, { ...filter, toHeight: middle });
  return [...lower, ...(await readDealEvents(rpc, { ...filter, fromHeight: middle + 1 }))];
}

/** A node that does not know a part of the filter must not hand us strangers' deals. */
function isAsked({ type, client, height }: DealEvent, filter: DealEventFilter): boolean {
  const inRange = height >= filter.fromHeight && height <= filter.toHeight;
  return inRange && filter.types.includes(type) && filter.clients.includes(client);
}
