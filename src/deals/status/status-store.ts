import { sql, type Kysely, type Selectable } from 'kysely';
import type { AggregateState, DB, DealState, Json, PinStatus, UploadStatuses } from '../../db/tables.ts';
import { isLive } from '../deal-states.ts';
import type { DealRow } from './deal-object.ts';
import type { Stage } from './history-of-stages.ts';
import type { QueueingAggregate, QueueingFacts } from './queueing.ts';
import type { LastChoice } from './why-nobody.ts';

/** What `/check` and the lists say of an upload, before any of it is put in words. */
export interface UploadStatus extends QueueingFacts {
  root: string;
  createdAt: Date;
  /** Sum of its blocks' bytes; null while blocks are missing. */
  dagBytes: bigint | null;
  /** What bears on its pin: of an IPFS Cluster (null: it has none there), and whether all its bytes are kept. */
  pin: { pin: PinStatus | null; isKept: boolean };
  /** Of all aggregates that it lies in, whole or in parts; oldest change first. */
  deals: DealRow[];
  /** What waits still or has no deals is a part of it, or it anew: the deals there are tell only of others. */
  partsWait: boolean;
}

/** Places farther back are not counted: a queue this long is an outage, and counting would read it whole at each check. */
const LAST_COUNTED_POSITION = 100_000;

export type StatusView = ReturnType<typeof statusView>;
export type StatusRow = Selectable<UploadStatuses> & { position: bigint | null };

/** Column by column: a later version may add one to the view while an older process has its query prepared. */
export function statusView(kysely: Kysely<DB>) {
  return kysely
    .selectFrom('upload_statuses as s')
    .select(['s.id', 's.root', 's.state', 's.created_at', 's.changed_at', 's.dag_bytes', 's.missing_count'])
    .select(['s.missing_first', 's.failure', 's.cut_count', 's.placements', 's.proposing_paused'])
    .select(['s.pin_status', 's.is_kept']);
}

/**
 * The one query for statuses: `ask` says of which uploads. The queue is read once for all of them, and only as far as the
 * last of them that waits; where none does, that is nothing. Its own values are literals, so that it may be prepared.
 */
export function statusRows(kysely: Kysely<DB>, ask: (view: StatusView) => StatusView) {
  return kysely
    .with('asked', () => ask(statusView(kysely)))
    .with('queue', (query) =>
      query
        .selectFrom('uploads')
        .select(['id', sql<bigint>`row_number() over (order by changed_at, id)`.as('position')])
        .where('state', '=', sql.lit('waiting'))
        .where('changed_at', '<=', (eb) =>
          eb
            .selectFrom('asked')
            .where('asked.state', '=', sql.lit('waiting'))
            .select(({ fn }) => fn.max('asked.changed_at').as('last')),
        )
        .orderBy('changed_at')
        .orderBy('id')
        .limit(sql.lit(LAST_COUNTED_POSITION)),
    )
    .selectFrom('asked')
    .leftJoin('queue', 'queue.id', 'asked.id')
    .selectAll('asked')
    .select('queue.position');
}

/** A deal as the view tells it, in JSON: times are text, and numbers below 2^53 by what they count. */
interface ToldDeal {
  state: DealState;
  provider_id: string;
  changed_at: string;
  start_epoch: number;
  end_epoch: number;
  chain_deal_id: number | null;
  sector_start_epoch: number | null;
  reason_code: string | null;
  reason_text: string | null;
}

interface ToldPlacement {
  seq: number;
  cut: number | null;
  /** A part of a cut that counts no more: the upload was sent anew. */
  given_up: boolean;
  selector: string | null;
  aggregate_id: number;
  state: AggregateState;
  entry_count: number;
  length_bytes: number;
  capacity_bytes: number;
  oldest_accepted_at: string | null;
  piece_cid: string | null;
  batch_root: string | null;
  released_at: string | null;
  deals: ToldDeal[];
  last_refusal: { provider_id: string; text: string | null; changed_at: string } | null;
  /** How far it has come, and what the last decision refused; null once a deal was active. */
  come: { stage: Stage; since: string; refused: LastChoice['refused'] | null } | null;
}

/** PostgreSQL says of no column of a view that it is never null. */
export function told<T>(value: T | null): T {
  if (value === null) throw new Error('upload_statuses told nothing where there is always something');
  return value;
}

/** The view's own words, which the test of each state holds against this shape. */
function placementsOf(placements: Json | null): ToldPlacement[] {
  return told(placements) as unknown as ToldPlacement[];
}

/** Pure. The row of the view with its place in the queue, as what is told of it. */
export function toStatus(row: StatusRow): UploadStatus {
  const placements = placementsOf(row.placements);
  // Nearly all lie in one aggregate, and a thousand are asked for at once.
  const current = placements.every((one) => !one.given_up) ? placements : placements.filter((one) => !one.given_up);
  const parts = current.length < 2 ? current : partsOf(current);
  const last = parts.length < 2 ? parts[0] : parts.toSorted((a, b) => progressOf(a) - progressOf(b))[0];
  const counted = countParts(told(row.cut_count), parts);
  const shown = parts === placements ? placements : placements.filter((one) => one.aggregate_id === last?.aggregate_id);
  return {
    root: told(row.root),
    state: told(row.state),
    createdAt: told(row.created_at),
    dagBytes: row.dag_bytes,
    missing: missingOf(row),
    failure: row.failure,
    acceptedAt: row.state === 'waiting' ? told(row.changed_at) : undefined,
    position: row.position === null ? undefined : Number(row.position),
    aggregate: last === undefined ? undefined : aggregateOf(last),
    ...(counted === undefined ? {} : { parts: counted }),
    lastRefusal: lastRefusal(shown),
    proposingPaused: told(row.proposing_paused),
    pin: { pin: row.pin_status, isKept: told(row.is_kept) },
    deals: dealsOf(placements),
    partsWait:
      counted === undefined ? waitsAnew(row, placements, last) : counted.placed < counted.total || !last?.deals.length,
  };
}

/** How far a placed run has come: its aggregate is open, sealing, sealed, or has deals. */
function progressOf({ state, deals }: ToldPlacement): number {
  if (deals.length > 0) return 3;
  return state === 'sealed' ? 2 : state === 'sealing' ? 1 : 0;
}

/** The parts that are placed, or the whole upload as one, each where it has come the farthest; the newest of equals. */
function partsOf(placements: readonly ToldPlacement[]): ToldPlacement[] {
  const parts = new Map<number | null, ToldPlacement>();
  for (const placement of placements) {
    const known = parts.get(placement.cut);
    if (known === undefined || (progressOf(known) < progressOf(placement) && !isOver(placement)))
      parts.set(placement.cut, placement);
  }
  return [...parts.values()];
}

/** Its bytes were released and its deals ended: nothing comes of it any more. */
function isOver({ released_at: releasedAt, deals }: ToldPlacement): boolean {
  return releasedAt !== null && !deals.some(({ state }) => isLive(state));
}

/** An upload that was sent anew after nothing held it has old deals to show, and none yet that count. */
function waitsAnew({ state }: StatusRow, all: readonly ToldPlacement[], last: ToldPlacement | undefined): boolean {
  const hasDeals = all.some(({ deals }) => deals.length > 0);
  return hasDeals && (state !== 'stowed' || last?.deals.length === 0);
}

/** Undefined of an upload that was not cut. One whose cuts were made before it found room whole counts as whole. */
function countParts(total: number, parts: readonly ToldPlacement[]) {
  if (total === 0 || parts.some(({ cut }) => cut === null)) return undefined;
  return { placed: parts.length, total };
}

function missingOf({ missing_count: count, missing_first: first }: Selectable<UploadStatuses>) {
  return count === null || first === null ? undefined : { count: Number(count), first };
}

function aggregateOf(placement: ToldPlacement): QueueingAggregate {
  const { oldest_accepted_at: oldest, come } = placement;
  return {
    id: BigInt(placement.aggregate_id),
    state: placement.state,
    lengthBytes: BigInt(placement.length_bytes),
    capacityBytes: BigInt(placement.capacity_bytes),
    entryCount: placement.entry_count,
    oldestAcceptedAt: oldest === null ? undefined : new Date(oldest),
    seq: placement.seq,
    released: placement.released_at !== null,
    standing: come === null ? undefined : { stage: come.stage, since: new Date(come.since) },
    lastChoice: come?.refused ? { refused: come.refused } : undefined,
  };
}

function lastRefusal(placements: readonly ToldPlacement[]) {
  const refusals = placements.flatMap(({ last_refusal: last }) =>
    last === null
      ? []
      : [{ miner: last.provider_id, text: last.text ?? 'no reason was given', at: new Date(last.changed_at) }],
  );
  return refusals.toSorted((a, b) => b.at.getTime() - a.at.getTime())[0];
}

function dealsOf(placements: readonly ToldPlacement[]): DealRow[] {
  const deals = placements.flatMap((placement) => placement.deals.map((deal) => dealOf(deal, placement)));
  // Those of one aggregate are in order already.
  return placements.length < 2 ? deals : deals.toSorted((a, b) => a.changedAt.getTime() - b.changedAt.getTime());
}

function dealOf(deal: ToldDeal, placement: ToldPlacement): DealRow {
  const { piece_cid: pieceCid, batch_root: batchRoot, selector } = placement;
  if (pieceCid === null || batchRoot === null) throw new Error('a deal stands on an aggregate that has no piece');
  return {
    state: deal.state,
    providerId: deal.provider_id,
    changedAt: new Date(deal.changed_at),
    startEpoch: deal.start_epoch,
    endEpoch: deal.end_epoch,
    chainDealId: deal.chain_deal_id === null ? null : BigInt(deal.chain_deal_id),
    sectorStartEpoch: deal.sector_start_epoch,
    reasonCode: deal.reason_code,
    reasonText: deal.reason_text,
    pieceCid,
    batchRoot,
    selector,
  };
}
