import { Type } from 'typebox';
import type { ListedAggregate } from '../../aggregate/aggregate-list.ts';
import type { Replicas } from '../../deals/status/replicas.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { exactly, nullableNumber, nullableText } from '../answers/schemas.ts';

const replicasSchema = exactly({
  wanted: Type.Integer({ description: 'by the policy in force' }),
  live: Type.Integer({ description: 'deals that fill a slot: signed, sent, accepted, published or active' }),
  active: Type.Integer(),
});

export const listedSchema = exactly({
  id: Type.String(),
  state: Type.String(),
  pieceCid: nullableText,
  pieceSize: nullableNumber,
  carSize: nullableNumber,
  batchRootCid: nullableText,
  entryCount: Type.Integer(),
  length: Type.Number({ description: 'bytes of its header and uploads' }),
  filler: Type.Number({ description: 'bytes of zeros that bring it to the smallest piece that providers take' }),
  capacity: Type.Number(),
  sealReason: nullableText,
  opened: Type.String(),
  oldestAccepted: nullableText,
  sealed: nullableText,
  released: Type.Union([Type.String(), Type.Null()], {
    description: 'since when its bytes are not kept here any more',
  }),
  replicas: Type.Union([replicasSchema, Type.Null()], { description: 'null until it is sealed' }),
});

/** `replicas` of at least this aggregate, if it is sealed. */
export function listedAnswer(row: ListedAggregate, replicas: ReadonlyMap<bigint, Replicas>) {
  const time = (at: Date | null) => (at === null ? null : formatOffsetTime(at, 'microseconds'));
  const number = (value: bigint | null) => (value === null ? null : Number(value));
  return {
    id: row.id.toString(),
    state: row.state,
    pieceCid: row.pieceCid,
    pieceSize: number(row.pieceBytes),
    carSize: number(row.carBytes),
    batchRootCid: row.batchRoot,
    entryCount: row.entryCount,
    length: Number(row.lengthBytes),
    filler: Number(row.fillerBytes),
    capacity: Number(row.capacityBytes),
    sealReason: row.sealReason,
    opened: formatOffsetTime(row.openedAt, 'microseconds'),
    oldestAccepted: time(row.oldestAcceptedAt),
    sealed: time(row.sealedAt),
    released: time(row.releasedAt),
    replicas: replicas.get(row.id) ?? null,
  };
}
