import { sql, type Kysely } from 'kysely';
import { countRows, type RowCount } from '../../db/count-rows.ts';
import { fromMicroseconds, toMicroseconds } from '../../db/microseconds.ts';
import type { DB, UploadState } from '../../db/tables.ts';
import { statusRows, statusView, told, toStatus, type StatusView, type UploadStatus } from './status-store.ts';

/** An upload as operators see it, whatever its state. */
export interface ListedUpload extends UploadStatus {
  id: bigint;
  changedAt: Date;
  /** Names of the tokens that sent it and have not taken it back. */
  owners: string[];
  /** When it was received, in microseconds: with its id the place in the list. */
  age: bigint;
}

export interface UploadFilter {
  state?: UploadState | undefined;
  owner?: string | undefined;
  /** Received at this time or later. */
  since?: Date | undefined;
  /** Received before this time. */
  before?: Date | undefined;
}

export interface UploadPage {
  /** Only uploads older than this one. */
  after?: { age: bigint; id: bigint } | undefined;
  limit: number;
}

/** The owner is looked up first: by its number PostgreSQL knows whether it has many uploads or few. */
interface FoundFilter extends Omit<UploadFilter, 'owner'> {
  ownerId?: bigint;
}

/** Undefined: nobody of that name has sent anything. */
async function findFilter(kysely: Kysely<DB>, { owner, ...filter }: UploadFilter): Promise<FoundFilter | undefined> {
  if (owner === undefined) return filter;
  const row = await kysely.selectFrom('owners').select('id').where('name', '=', owner).executeTakeFirst();
  return row && { ...filter, ownerId: row.id };
}

function matching(view: StatusView, { state, ownerId, since, before }: FoundFilter): StatusView {
  let query = view;
  if (state !== undefined) query = query.where('s.state', '=', state);
  if (since !== undefined) query = query.where('s.created_at', '>=', since);
  if (before !== undefined) query = query.where('s.created_at', '<', before);
  if (ownerId === undefined) return query;
  return query.where('s.id', 'in', (eb) =>
    eb.selectFrom('upload_owners').select('upload_id').where('owner_id', '=', ownerId).where('ended_at', 'is', null),
  );
}

/** Of whatever uploads, newest first: the list and the one upload are rows of this one query. */
async function listRows(kysely: Kysely<DB>, ask: (view: StatusView) => StatusView): Promise<ListedUpload[]> {
  const rows = await statusRows(kysely, ask)
    .select((eb) => [
      toMicroseconds('asked.created_at').as('age'),
      eb
        .selectFrom('upload_owners as uo')
        .innerJoin('owners as o', 'o.id', 'uo.owner_id')
        .whereRef('uo.upload_id', '=', 'asked.id')
        .where('uo.ended_at', 'is', null)
        .select(sql<string[]>`coalesce(array_agg(o.name order by o.name), '{}')`.as('names'))
        .as('owners'),
    ])
    .orderBy('asked.created_at', 'desc')
    .orderBy('asked.id', 'desc')
    .execute();
  return rows.map((row) => ({
    ...toStatus(row),
    id: told(row.id),
    changedAt: told(row.changed_at),
    owners: row.owners ?? [],
    age: row.age,
  }));
}

/** Newest first. */
export async function listUploads(kysely: Kysely<DB>, filter: UploadFilter, page: UploadPage): Promise<ListedUpload[]> {
  const found = await findFilter(kysely, filter);
  if (found === undefined) return [];
  const { after, limit } = page;
  return listRows(kysely, (view) =>
    matching(view, found)
      .$if(after !== undefined, (query) =>
        query.where(sql<boolean>`(s.created_at, s.id) < (${fromMicroseconds(after?.age ?? 0n)}, ${after?.id}::bigint)`),
      )
      .orderBy('s.created_at', 'desc')
      .orderBy('s.id', 'desc')
      .limit(limit),
  );
}

/** By its root (CIDv1 base32), removed or not. */
export async function findListedUpload(kysely: Kysely<DB>, root: string): Promise<ListedUpload | undefined> {
  const [found] = await listRows(kysely, (view) => view.where('s.root', '=', root));
  return found;
}

export async function countUploads(kysely: Kysely<DB>, filter: UploadFilter): Promise<RowCount> {
  const found = await findFilter(kysely, filter);
  if (found === undefined) return { value: 0, exact: true };
  return countRows(kysely, matching(statusView(kysely), found).clearSelect().select('s.id'));
}
