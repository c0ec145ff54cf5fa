import { sql, type Kysely, type Selectable } from 'kysely';
import { endOwnershipWithin } from '../../aggregate/keep/remove-upload.ts';
import type { OnComplete } from '../../aggregate/receive/receive.ts';
import { addOwner, claimUpload, findOrMakeOwner, findUpload } from '../../aggregate/receive/upload-store.ts';
import type { DB, PinRequests, PinRequestState } from '../../db/tables.ts';
import type { Jobs } from '../../jobs/jobs.ts';

/** The SQL of requests to pin. */
export interface NewRequest {
  id: string;
  /** The name of the token. */
  owner: string;
  /** As asked, and as rows of uploads have it. */
  cid: string;
  root: string;
  name: string | undefined;
  origins: readonly string[];
  meta: Record<string, string> | undefined;
  at: Date;
}

type Row = Selectable<PinRequests>;

const OPEN = ['queued', 'pinning'] as const;

interface InsertDeps {
  jobs: Pick<Jobs, 'send'>;
  onOwned?: OnComplete | undefined;
}

/**
 * Writes a request down: `pinned` at once where all blocks are here already, else with the job that fetches them. Its time
 * of creation is its place in the lists of its owner, so no two of an owner have the same.
 */
export async function insertRequest(trx: Kysely<DB>, { jobs, onOwned }: InsertDeps, given: NewRequest): Promise<void> {
  const { id, cid, root, origins, at } = given;
  // Before its owner, as whoever sends it, and so that it is not removed while this relies on it.
  await claimUpload(trx, root);
  const ownerId = await findOrMakeOwner(trx, given.owner);
  // Whoever makes another of this owner waits here.
  await trx.selectFrom('owners').select('id').where('id', '=', ownerId).forNoKeyUpdate().execute();
  const upload = await findUpload(trx, root);
  const isHere = upload?.standing === 'waiting' || upload?.standing === 'stowed';
  const state = isHere ? 'pinned' : 'queued';
  await trx
    .insertInto('pin_requests')
    .values({
      id,
      owner_id: ownerId,
      root,
      cid,
      name: given.name ?? null,
      origins: [...origins],
      meta: given.meta === undefined ? null : JSON.stringify(given.meta),
      state,
      gives_ownership: await mayGiveOwnership(trx, ownerId, { root, uploadId: upload?.id }),
      created_at: await nextPlace(trx, ownerId, at),
      changed_at: at,
      ...(isHere && { next_attempt_at: null }),
    })
    .execute();
  await tellChanges(trx, [id], { from: null, to: state, at });
  if (!isHere) return await jobs.send(trx, 'fetch', { root });
  await addOwner(trx, upload.id, given.owner, at);
  await onOwned?.(trx, [upload.id]);
}

/** The owner has it by nothing else: neither by sending it, nor by anything before its first request. */
async function mayGiveOwnership(
  trx: Kysely<DB>,
  ownerId: bigint,
  { root, uploadId }: { root: string; uploadId: bigint | undefined },
): Promise<boolean> {
  if (await hasGiver(trx, ownerId, root)) return true;
  if (uploadId === undefined) return true;
  const owned = trx.selectFrom('upload_owners').select('owner_id').where('upload_id', '=', uploadId);
  const own = owned.where('owner_id', '=', ownerId).where('ended_at', 'is', null);
  return (await own.executeTakeFirst()) === undefined;
}

async function hasGiver(trx: Kysely<DB>, ownerId: bigint, root: string): Promise<boolean> {
  const query = trx.selectFrom('pin_requests').select('id').where('owner_id', '=', ownerId).where('root', '=', root);
  const live = query.where('state', '<>', 'removed').where('gives_ownership', '=', true).limit(1);
  return (await live.executeTakeFirst()) !== undefined;
}

/** Later than all before, in milliseconds: the finest that clients keep. */
async function nextPlace(trx: Kysely<DB>, ownerId: bigint, at: Date): Promise<Date> {
  const query = trx.selectFrom('pin_requests').where('owner_id', '=', ownerId);
  const { last } = await query.select((eb) => eb.fn.max('created_at').as('last')).executeTakeFirstOrThrow();
  const after = (last as Date | null)?.getTime() ?? 0;
  return new Date(Math.max(at.getTime(), after + 1));
}

/** Takes a request of this owner away, and what it gave; false when there is none. */
export async function removeRequest(
  trx: Kysely<DB>,
  { id, owner, at }: { id: string; owner: string; at: Date },
): Promise<boolean> {
  const found = await trx
    .selectFrom('pin_requests as r')
    .innerJoin('owners as o', 'o.id', 'r.owner_id')
    .select(['r.state', 'r.owner_id', 'r.root', 'r.gives_ownership'])
    .where('r.id', '=', id)
    .where('o.name', '=', owner)
    .where('r.state', '<>', 'removed')
    .forUpdate('r')
    .executeTakeFirst();
  if (found === undefined) return false;
  await moveRequests(trx, [{ id, state: found.state }], { to: 'removed', at });
  if (!found.gives_ownership || (await hasGiver(trx, found.owner_id, found.root))) return true;
  await endOwnershipWithin(trx, { root: found.root, owner, at });
  return true;
}

interface Move {
  to: PinRequestState;
  at: Date;
  detail?: string | undefined;
  /** For those that stay open. */
  waitMs?: number;
}

/** Compare-and-set, with their events. The rows are locked. */
export async function moveRequests(
  trx: Kysely<DB>,
  from: readonly Pick<Row, 'id' | 'state'>[],
  { to, at, detail, waitMs }: Move,
): Promise<void> {
  for (const [state, rows] of Map.groupBy(from, (row) => row.state)) {
    const ids = rows.map(({ id }) => id);
    const wait = waitMs === undefined ? sql<Date>`now()` : sql<Date>`now() + ${waitMs}::float * interval '1 ms'`;
    const isOpen = to === 'queued' || to === 'pinning';
    const moved = await trx
      .updateTable('pin_requests')
      .set({ state: to, changed_at: at, detail: detail ?? null, next_attempt_at: isOpen ? wait : null })
      .$if(to === 'queued', (query) => query.set((eb) => ({ attempts: eb('attempts', '+', 1) })))
      .where('id', 'in', ids)
      .where('state', '=', state)
      .executeTakeFirst();
    if (Number(moved.numUpdatedRows) !== ids.length) throw new Error(`requests to pin left ${state} while locked`);
    await tellChanges(trx, ids, { from: state, to, at, detail });
  }
}

async function tellChanges(
  trx: Kysely<DB>,
  ids: readonly string[],
  {
    from,
    to,
    at,
    detail,
  }: { from: PinRequestState | null; to: PinRequestState; at: Date; detail?: string | undefined },
): Promise<void> {
  const rows = ids.map((id) => ({ request_id: id, at, from_state: from, to_state: to, detail: detail ?? null }));
  await trx.insertInto('pin_request_events').values(rows).execute();
}

/** What one root is wanted for. */
export interface OpenRequest {
  id: string;
  state: PinRequestState;
  owner: string;
  origins: string[];
  attempts: number;
  /** Since the last block that was kept, by the database's clock. */
  idleMs: number;
}

/** Open requests of a root, the oldest first, locked. With `due`: only those whose time has come. */
export async function lockOpen(
  trx: Kysely<DB>,
  root: string,
  { due = false, limit }: { due?: boolean; limit: number },
): Promise<OpenRequest[]> {
  const rows = await trx
    .selectFrom('pin_requests as r')
    .innerJoin('owners as o', 'o.id', 'r.owner_id')
    .select(['r.id', 'r.state', 'o.name as owner', 'r.origins', 'r.attempts'])
    .select(sql<number>`(extract(epoch from now() - r.progress_at) * 1000)::float`.as('idle_ms'))
    .where('r.root', '=', root)
    .where('r.state', 'in', OPEN)
    .$if(due, (query) => query.where('r.next_attempt_at', '<=', sql<Date>`now()`))
    .orderBy('r.created_at')
    .orderBy('r.id')
    .limit(limit)
    .forUpdate('r')
    .execute();
  return rows.map(({ idle_ms: idleMs, ...row }) => ({ ...row, idleMs }));
}

/** Some of it was kept: from now on there is all the time again. */
export async function noteProgress(kysely: Kysely<DB>, root: string): Promise<void> {
  await kysely
    .updateTable('pin_requests')
    .set({ progress_at: sql<Date>`now()` })
    .where('root', '=', root)
    .where('state', 'in', OPEN)
    .execute();
}

/** Roots with a request whose time has come, the longest due first: for the sweep. */
export async function listRootsToFetch(kysely: Kysely<DB>, limit: number): Promise<string[]> {
  const rows = await kysely
    .selectFrom('pin_requests')
    .select('root')
    .where('state', 'in', OPEN)
    .where('next_attempt_at', '<=', sql<Date>`now()`)
    .groupBy('root')
    .orderBy((eb) => eb.fn.min('next_attempt_at'))
    .limit(limit)
    .execute();
  return rows.map(({ root }) => root);
}

/** Whether only these owners want the root just now, and others wait for another. */
export async function isTurnOfOthers(trx: Kysely<DB>, root: string, owners: readonly string[]): Promise<boolean> {
  if (owners.length === 0) return false;
  const due = sql`pin_requests r join owners o on o.id = r.owner_id
    where r.state in ('queued', 'pinning') and r.next_attempt_at <= now() and o.name <> all(${owners}::text[])`;
  const { rows } = await sql`select where not exists (select from ${due} and r.root = ${root})
    and exists (select from ${due} and r.state = 'queued')`.execute(trx);
  return rows.length > 0;
}
