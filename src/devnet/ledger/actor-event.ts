import type { CID } from 'multiformats/cid';

import { cborArray, cborBytes, cborCid, cborText, cborUint } from '../../filecoin/cbor.ts';
import { chainCid, cidJson } from './chain-message.ts';

/** An event of a built-in actor (FIP-0083). */
export interface ActorEvent {
  emitterId: bigint;
  entries: readonly EventEntry[];
}

export interface EventEntry {
  /** 3: key and value are indexed; 1: the key alone. */
  flags: 1 | 3;
  key: string;
  /** CBOR. */
  value: Uint8Array;
}

/** Where an event was emitted. */
export interface EventPlace {
  height: number;
  tipsetKey: readonly CID[];
  message: CID;
}

/** Codec of the values: plain CBOR. */
const CBOR_CODEC = 0x51;

type DealEventType = 'deal-published' | 'deal-activated' | 'deal-terminated' | 'deal-completed';

/** The four events of the market actor have the same entries, in this order. */
export function dealEvent(
  type: DealEventType,
  deal: { id: bigint; clientId: bigint; providerId: bigint },
  emitterId: bigint,
): ActorEvent {
  return {
    emitterId,
    entries: [
      entry('$type', cborText(type)),
      entry('id', cborUint(deal.id)),
      entry('client', cborUint(deal.clientId)),
      entry('provider', cborUint(deal.providerId)),
    ],
  };
}

/** sector-precommitted and sector-terminated of a miner actor. */
export function sectorEvent(
  type: 'sector-precommitted' | 'sector-terminated',
  { minerId, sectorNumber }: { minerId: bigint; sectorNumber: number },
): ActorEvent {
  return { emitterId: minerId, entries: [entry('$type', cborText(type)), entry('sector', cborUint(sectorNumber))] };
}

/** sector-activated of a miner actor: its pieces one after another. */
export function sectorActivatedEvent(
  { minerId, sectorNumber }: { minerId: bigint; sectorNumber: number },
  content: { unsealedCid: CID; pieces: readonly { cid: CID; bytes: bigint }[] },
): ActorEvent {
  const pieces = content.pieces.flatMap(({ cid, bytes }) => [
    entry('piece-cid', cborCid(cid)),
    { flags: 1, key: 'piece-size', value: cborUint(bytes) } as const,
  ]);
  const head = [
    entry('$type', cborText('sector-activated')),
    entry('sector', cborUint(sectorNumber)),
    entry('unsealed-cid', cborCid(content.unsealedCid)),
  ];
  return { emitterId: minerId, entries: [...head, ...pieces] };
}

/** What a receipt calls its events by. A real node has an AMT here; this is a plain list under the same hash. */
export function eventsRootOf(events: readonly ActorEvent[]): CID | undefined {
  if (events.length === 0) return undefined;
  return chainCid(cborArray(events.map((event) => encodeEvent(event))));
}

/** As `GetActorEventsRaw` answers, keys in the order of a real node. */
export function actorEventJson(event: ActorEvent, place: EventPlace): Record<string, unknown> {
  return {
    entries: entriesJson(event),
    emitter: `f0${event.emitterId}`,
    reverted: false,
    height: place.height,
    tipsetKey: place.tipsetKey.map((cid) => cidJson(cid)),
    msgCid: cidJson(place.message),
  };
}

export function entriesJson(event: ActorEvent): Record<string, unknown>[] {
  return event.entries.map(({ flags, key, value }) => ({
    Flags: flags,
    Key: key,
    Codec: CBOR_CODEC,
    Value: Buffer.from(value).toString('base64'),
  }));
}

/** A condition of `GetActorEventsRaw`: any of the values of each key. */
export type EventFields = ReadonlyMap<string, ReadonlySet<string>>;

/** Does an entry match for every key? `fields` holds `codec:base64`; only indexed values can be asked for. */
export function matchesFields(event: ActorEvent, fields: EventFields): boolean {
  return [...fields].every(([key, values]) =>
    event.entries.some(
      (found) =>
        found.key === key &&
        found.flags === 3 &&
        values.has(fieldName(CBOR_CODEC, Buffer.from(found.value).toString('base64'))),
    ),
  );
}

export function fieldName(codec: number, valueBase64: string): string {
  return `${codec}:${valueBase64}`;
}

function entry(key: string, value: Uint8Array): EventEntry {
  return { flags: 3, key, value };
}

function encodeEvent({ emitterId, entries }: ActorEvent): Uint8Array {
  const items = entries.map(({ flags, key, value }) =>
    cborArray([cborUint(flags), cborText(key), cborUint(CBOR_CODEC), cborBytes(value)]),
  );
  return cborArray([cborUint(emitterId), cborArray(items)]);
}
