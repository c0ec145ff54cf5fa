import { dealStates, type DealState } from '../deals/deal-states.ts';
import { publicStatus } from '../deals/status/deal-object.ts';
import { formatOffsetTime } from '../deals/status/time-format.ts';
import { formatAddress, idAddress } from '../filecoin/address.ts';

/** How addresses are written on our network. */
export type AddressLetter = 'f' | 't';

export const changeKinds = ['upload', 'aggregate', 'deal'] as const;
export type ChangeKind = (typeof changeKinds)[number];

/** Every state that a change may lead to: of uploads, of aggregates, of deals. */
export const changeStates: readonly string[] = [
  ...new Set(['incomplete', 'waiting', 'stowed', 'failed', 'removed', 'sealing', 'sealed', ...dealStates]),
];

/**
 * One change of one upload, as SSE and webhooks tell it. `kind` says what changed: the upload itself, an aggregate that
 * holds it, or a deal of such an aggregate; `from` and `to` are states of that. They are equal where something else became
 * known, which `reason` or `deal` then says. The same id always means the same change, so who remembers ids handles each
 * change once.
 */
export interface Change {
  /** `<position>-<uploadIndex>`, opaque; the SSE event has it as its id. */
  id: string;
  /** Root of the upload, CIDv1 base32. */
  cid: string;
  /** As all times of the status API. */
  at: string;
  kind: ChangeKind;
  from: string | null;
  to: string;
  /** A code that programs may match on, such as CUT_PLACED. */
  reasonCode?: string;
  /** In words, of ours, of the chain or of the provider. */
  reason?: string;
  /** The aggregate that holds the upload; `pieceCid` is null until it is sealed. */
  aggregate?: { id: string; pieceCid: string | null };
  deal?: ChangedDeal;
}

/** The names of the deal object. `stage` is as of this change, and `status` follows from it; null: /check shows it not. */
export interface ChangedDeal {
  id: string;
  status: 'queued' | 'active' | 'terminated' | null;
  stage: string;
  miner: string;
  chainDealID: number | null;
  pieceCid: string | null;
  batchRootCid: string | null;
  datamodelSelector: string | null;
}

/** Where a reader is: after this change, in the order of the outbox and then of the uploads of one row. */
export interface Cursor {
  xid: string;
  position: bigint;
  /** Index of the last upload of the row that was read; `ROW_DONE`: all of them. */
  index: number;
}

/** Larger than any place in an aggregate (an integer of PostgreSQL). */
export const ROW_DONE = 2_147_483_647;

/** A row of the outbox, before it is expanded to uploads. */
export interface OutboxRow {
  xid: string;
  position: bigint;
  at: Date;
  kind: ChangeKind;
  from: string | null;
  to: string;
  reasonCode: string | null;
  detail: string | null;
  /** Of an upload's own change. */
  upload: RowUpload | null;
  /** Of a change of an aggregate or a deal; of an upload's, where it went. */
  aggregateId: bigint | null;
  pieceCid: string | null;
  batchRoot: string | null;
  entryCount: number;
  dealId: string | null;
  providerId: string | null;
  chainDealId: bigint | null;
}

/** One upload that a row tells of. */
export interface RowUpload {
  root: string;
  /** Place in the aggregate; 0 of an upload's own change. */
  index: number;
  selector: string | null;
  owners: readonly Owner[];
}

/** A token name, and when its ownership ended. */
export interface Owner {
  name: string;
  until: Date | null;
}

const EVENT_ID = /^(\d{1,18})-(\d{1,10})$/;

/** Undefined when the text is no event id. */
export function parseEventId(text: string): { position: bigint; index: number } | undefined {
  const [, position, index] = EVENT_ID.exec(text.trim()) ?? [];
  if (position === undefined || index === undefined || Number(index) > ROW_DONE) return undefined;
  return { position: BigInt(position), index: Number(index) };
}

export function formatEventId({ position, index }: { position: bigint; index: number }): string {
  return `${position}-${index}`;
}

/** Pure: what a subscriber is told of this upload by this row. */
export function describeChange(row: OutboxRow, upload: RowUpload, letter: AddressLetter): Change {
  const { kind, from, to, reasonCode, detail, aggregateId, pieceCid } = row;
  return {
    id: formatEventId({ position: row.position, index: upload.index }),
    cid: upload.root,
    at: formatOffsetTime(row.at, 'microseconds'),
    kind,
    from,
    to,
    ...(reasonCode !== null && { reasonCode }),
    ...(detail !== null && { reason: detail }),
    ...(aggregateId !== null && { aggregate: { id: aggregateId.toString(), pieceCid } }),
    ...(row.dealId !== null && { deal: describeDeal(row, row.dealId, { ...upload, letter }) }),
  };
}

type DealPlace = Pick<RowUpload, 'selector'> & { letter: AddressLetter };

function describeDeal(row: OutboxRow, id: string, { selector, letter }: DealPlace): ChangedDeal {
  return {
    id,
    status: statusOf(row.to),
    stage: row.to,
    miner: row.providerId === null ? '' : formatAddress(idAddress(BigInt(row.providerId.slice(2))), letter),
    chainDealID: row.chainDealId === null ? null : Number(row.chainDealId),
    pieceCid: row.pieceCid,
    batchRootCid: row.batchRoot,
    datamodelSelector: selector,
  };
}

/** A state that this version does not know is told without a status: one odd row must not hold up all that follow. */
function statusOf(stage: string): ChangedDeal['status'] {
  const state: DealState | undefined = dealStates.find((one) => one === stage);
  return (state && publicStatus(state)) ?? null;
}
