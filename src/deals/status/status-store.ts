import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { publicDealStates, type DealRow } from './deal-object.ts';
import type { QueueingAggregate, QueueingFacts } from './queueing.ts';

/** What `/check` says of an upload, before any of it is put in words. */
export interface UploadStatus extends QueueingFacts {
  root: string;
  createdAt: Date;
  /** Sum of its blocks' bytes; null while blocks are missing. */
  dagBytes: bigint | null;
  /** Of all aggregates that it lies in, whole or in parts; oldest change first. */
  deals: DealRow[];
  /** It was cut, and a part of it waits still or has no deals: the deals there are tell only of others. */
  partsWait: boolean;
}

/** One query: the upload joined with its aggregates, their public deals, and the last refusal of each. */
function statusQuery(kysely: Kysely<DB>, root: string) {
  return kysely
    .selectFrom('uploads as u')
    .leftJoin('placements as p', 'p.upload_id', 'u.id')
    .leftJoin('aggregates as a', 'a.id', 'p.aggregate_id')
    .leftJoin('deals as d', (join) => join.onRef('d.aggregate_id', '=', 'a.id').on('d.state', 'in', publicDealStates))
    .leftJoinLateral(
      (eb) =>
        eb
          .selectFrom('deals as gone')
          .select([
            'gone.provider_id',
            'gone.changed_at',
            sql<string>`coalesce(gone.reason_text, gone.reason_code)`.as('text'),
          ])
          .whereRef('gone.aggregate_id', '=', 'a.id')
          .where('gone.state', 'in', ['rejected', 'failed', 'abandoned'])
          .orderBy('gone.changed_at', 'desc')
          .limit(1)
          .as('refusal'),
      (join) => join.onTrue(),
    )
    .where('u.root', '=', root)
    .where('u.state', '<>', 'removed')
    .select((eb) => [
      'u.root',
      'u.state as upload_state',
      'u.created_at',
      'u.dag_bytes',
      'u.missing_count',
      'u.missing_first',
      'u.failure',
      eb
        .case()
        .when('u.state', '=', 'waiting')
        .then(
          eb
            .selectFrom('uploads as w')
            .select(eb.fn.countAll<bigint>().as('ahead'))
            .where('w.state', '=', 'waiting')
            .where(sql<boolean>`(w.changed_at, w.id) <= (u.changed_at, u.id)`),
        )
        .end()
        .as('position'),
      eb
        .selectFrom('cuts as c')
        .select(eb.fn.countAll<bigint>().as('total'))
        .whereRef('c.upload_id', '=', 'u.id')
        .as('part_count'),
    ])
    .select([
      'p.seq',
      'p.cut',
      'p.selector',
      'a.id as aggregate_id',
      'a.state as aggregate_state',
      'a.entry_count',
      'a.length_bytes',
      'a.capacity_bytes',
    ])
    .select(['a.oldest_accepted_at', 'a.piece_cid', 'a.batch_root', 'a.released_at'])
    .select(['d.state as deal_state', 'd.provider_id', 'd.changed_at', 'd.start_epoch', 'd.end_epoch'])
    .select(['d.chain_deal_id', 'd.sector_start_epoch', 'd.reason_code', 'd.reason_text'])
    .select(['refusal.provider_id as refused_by', 'refusal.text as refusal_text', 'refusal.changed_at as refused_at'])
    .orderBy('d.changed_at')
    .orderBy('d.id')
    .orderBy('a.id', 'desc');
}

type StatusRow = Awaited<ReturnType<ReturnType<typeof statusQuery>['execute']>>[number];

/** Undefined when no upload has this root (CIDv1 base32). */
export async function findUploadStatus(kysely: Kysely<DB>, root: string): Promise<UploadStatus | undefined> {
  const rows = await statusQuery(kysely, root).execute();
  const [first] = rows;
  if (first === undefined) return undefined;
  const parts = partsOf(rows);
  const last = parts.toSorted((a, b) => a.progress - b.progress)[0];
  const counted = countParts(first, parts);
  const shown = last === undefined ? rows : rows.filter(({ aggregate_id: id }) => id === last.row.aggregate_id);
  return {
    root: first.root,
    state: first.upload_state,
    createdAt: first.created_at,
    dagBytes: first.dag_bytes,
    missing: missingOf(first),
    failure: first.failure,
    position: first.position === null ? undefined : Number(first.position),
    aggregate: last === undefined ? undefined : aggregateOf(last.row),
    ...(counted === undefined ? {} : { parts: counted }),
    lastRefusal: lastRefusal(shown),
    deals: rows.flatMap((row) => dealOf(row) ?? []),
    partsWait: counted !== undefined && (counted.placed < counted.total || last?.progress !== WITH_DEALS),
  };
}

/** How far a placed run has come: its aggregate is open, sealing, sealed, or has deals. */
const WITH_DEALS = 3;

function progressOf({ aggregate_state: state, deal_state: deal }: StatusRow): number {
  if (deal !== null) return WITH_DEALS;
  return state === 'sealed' ? 2 : state === 'sealing' ? 1 : 0;
}

interface PlacedPart {
  row: StatusRow;
  progress: number;
}

/** The parts that are placed, or the whole upload as one, each where it has come the farthest; the newest of equals. */
function partsOf(rows: readonly StatusRow[]): PlacedPart[] {
  const parts = new Map<number | null, PlacedPart>();
  for (const row of rows.toSorted((a, b) => Number((b.aggregate_id ?? 0n) - (a.aggregate_id ?? 0n)))) {
    if (row.aggregate_id === null) continue;
    const progress = progressOf(row);
    const known = parts.get(row.cut);
    if (known === undefined || known.progress < progress) parts.set(row.cut, { row, progress });
  }
  return [...parts.values()];
}

/** Undefined of an upload that was not cut. One whose cuts were made before it found room whole counts as whole. */
function countParts({ part_count: total }: StatusRow, parts: readonly PlacedPart[]) {
  if (total === null || total === 0n || parts.some(({ row }) => row.cut === null)) return undefined;
  return { placed: parts.length, total: Number(total) };
}

function missingOf({ missing_count: count, missing_first: first }: StatusRow) {
  return count === null || first === null ? undefined : { count: Number(count), first };
}

function aggregateOf(row: StatusRow): QueueingAggregate | undefined {
  const {
    aggregate_id: id,
    aggregate_state: state,
    length_bytes: lengthBytes,
    capacity_bytes: capacityBytes,
    seq,
  } = row;
  const { entry_count: entryCount, oldest_accepted_at: oldest } = row;
  if (id === null || state === null || seq === null || entryCount === null) return undefined;
  if (lengthBytes === null || capacityBytes === null) return undefined;
  const released = row.released_at !== null;
  return { id, state, lengthBytes, capacityBytes, entryCount, oldestAcceptedAt: oldest ?? undefined, seq, released };
}

function lastRefusal(rows: StatusRow[]) {
  const refusals = rows.flatMap(({ refused_by: miner, refusal_text: text, refused_at: at }) =>
    miner === null || at === null ? [] : [{ miner, text: text ?? 'no reason was given', at }],
  );
  return refusals.toSorted((a, b) => b.at.getTime() - a.at.getTime())[0];
}

function dealOf(row: StatusRow): DealRow | undefined {
  const {
    deal_state: state,
    provider_id: providerId,
    changed_at: changedAt,
    start_epoch: startEpoch,
    end_epoch: endEpoch,
  } = row;
  if (state === null || providerId === null || changedAt === null || startEpoch === null || endEpoch === null)
    return undefined;
  if (row.piece_cid === null || row.batch_root === null)
    throw new Error('a deal stands on an aggregate that has no piece');
  return {
    state,
    providerId,
    changedAt,
    startEpoch: Number(startEpoch),
    endEpoch: Number(endEpoch),
    chainDealId: row.chain_deal_id,
    sectorStartEpoch: row.sector_start_epoch === null ? null : Number(row.sector_start_epoch),
    reasonCode: row.reason_code,
    reasonText: row.reason_text,
    pieceCid: row.piece_cid,
    batchRoot: row.batch_root,
    selector: row.selector,
  };
}
