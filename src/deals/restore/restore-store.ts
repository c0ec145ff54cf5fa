import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { tellEvent } from '../../db/tell-event.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import { storableText } from '../../storable-text.ts';
import { offChainStates } from '../deal-states.ts';
import { isUnowned } from '../propose/proposal-store.ts';

/** A released aggregate whose bytes are wanted, and how the fetching of them stands. */
export interface Wanted {
  aggregateId: bigint;
  pieceCid: string;
  /** Padded. */
  pieceBytes: bigint;
  carBytes: number;
  failures: number;
  /** Nobody fetches before; undefined: nobody has tried yet. */
  nextAt: Date | undefined;
}

/** Undefined where the bytes are there, or nothing was released. */
export async function findWanted(db: Kysely<DB>, aggregateId: bigint): Promise<Wanted | undefined> {
  const row = await db
    .selectFrom('aggregates as a')
    .leftJoin('restorations as r', 'r.aggregate_id', 'a.id')
    .select(['a.piece_cid', 'a.piece_bytes', 'a.car_bytes', 'r.failures', 'r.next_at'])
    .where('a.id', '=', aggregateId)
    .where('a.released_at', 'is not', null)
    .where('r.object_key', 'is', null)
    .executeTakeFirst();
  if (row === undefined || row.piece_cid === null || row.piece_bytes === null || row.car_bytes === null)
    return undefined;
  return {
    aggregateId,
    pieceCid: row.piece_cid,
    pieceBytes: row.piece_bytes,
    carBytes: Number(row.car_bytes),
    failures: row.failures ?? 0,
    nextAt: row.next_at ?? undefined,
  };
}

/** Providers that prove the piece on chain, the youngest proof first: what was sealed last is likeliest to be unsealed still. */
export async function listHolders(db: Kysely<DB>, aggregateId: bigint): Promise<string[]> {
  const rows = await db
    .selectFrom('deals as d')
    .innerJoin('providers as p', 'p.id', 'd.provider_id')
    .select('d.provider_id')
    .where('d.aggregate_id', '=', aggregateId)
    .where('d.state', '=', 'active')
    .where('p.state', '<>', 'removed')
    .orderBy('d.sector_start_epoch', 'desc')
    .orderBy('d.slot')
    .execute();
  return [...new Set(rows.map((row) => row.provider_id))];
}

export interface Restored {
  aggregateId: bigint;
  objectKey: string;
  provider: string;
  at: Date;
}

/** One transaction: the object is the aggregate's, with the event and the job that proposes it. False: somebody was first. */
export async function noteRestored(db: Kysely<DB>, jobs: Jobs, restored: Restored): Promise<boolean> {
  const { aggregateId, objectKey, provider, at } = restored;
  const row = {
    object_key: objectKey,
    provider_id: provider,
    failures: 0,
    next_at: at,
    refusals: null,
    changed_at: at,
  };
  return await db.transaction().execute(async (trx) => {
    const { numInsertedOrUpdatedRows: changed } = await trx
      .insertInto('restorations')
      .values({ aggregate_id: aggregateId, ...row })
      .onConflict((oc) => oc.column('aggregate_id').doUpdateSet(row).where('restorations.object_key', 'is', null))
      .executeTakeFirst();
    if (changed !== 1n) return false;
    const evidence = { provider, objectKey };
    await tellEvent(
      trx,
      { aggregate: aggregateId },
      { from: 'sealed', to: 'sealed', at, reason: 'BYTES_RESTORED', evidence },
    );
    await jobs.send(trx, 'propose', { aggregateId: aggregateId.toString() });
    return true;
  });
}

export interface FailedRestore {
  aggregateId: bigint;
  /** Why each provider's was not taken. */
  refusals: string;
  at: Date;
  nextAt: Date;
}

/** Nobody serves the piece as it is: told, and looked at again later. */
export async function noteFailed(db: Kysely<DB>, jobs: Jobs, failed: FailedRestore): Promise<void> {
  const { aggregateId, at, nextAt } = failed;
  const refusals = storableText(failed.refusals);
  await db.transaction().execute(async (trx) => {
    await trx
      .insertInto('restorations')
      .values({ aggregate_id: aggregateId, failures: 1, next_at: nextAt, refusals, changed_at: at })
      .onConflict((oc) =>
        oc
          .column('aggregate_id')
          .doUpdateSet({ failures: sql`restorations.failures + 1`, next_at: nextAt, refusals, changed_at: at })
          .where('restorations.object_key', 'is', null),
      )
      .execute();
    const told = { from: 'sealed', to: 'sealed', at, reason: 'RESTORE_FAILED', detail: refusals };
    await tellEvent(trx, { aggregate: aggregateId }, told);
    await jobs.send(trx, 'restore', { aggregateId: aggregateId.toString() }, { startAfter: nextAt });
  });
}

interface LetGoRule {
  /** What came back since is kept: its proposals may not be signed yet. */
  changedBefore: Date;
  limit: number;
}

/**
 * Lets go of fetched bytes that nobody waits for: no proposal is on its way, and as many replicas are active as the
 * policy wants, or nobody owns anything in it. The objects go by the sweep. Answers how many.
 */
export async function letRestoredGo(db: Kysely<DB>, at: Date, { changedBefore, limit }: LetGoRule): Promise<number> {
  return await db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ aggregate_id: bigint; object_key: string }>`
      delete from restorations where changed_at <= ${changedBefore} and aggregate_id in (
        select r.aggregate_id from restorations r join aggregates a on a.id = r.aggregate_id
          left join aggregate_replicas c on c.aggregate_id = a.id
        where r.object_key is not null and r.changed_at <= ${changedBefore}
          and not exists (select from deals d where d.aggregate_id = a.id
            and d.state::text in (${sql.join([...offChainStates])}) and d.settled_at is null)
          and (c.active_replicas >= (select replicas from policies order by version desc limit 1) or ${isUnowned})
        order by r.aggregate_id limit ${limit})
      returning aggregate_id, object_key`.execute(trx);
    for (const { aggregate_id: aggregate, object_key: objectKey } of rows) {
      const told = { from: 'sealed', to: 'sealed', at, reason: 'BYTES_RELEASED', evidence: { objectKey } };
      await tellEvent(trx, { aggregate }, told);
    }
    return rows.length;
  });
}
