import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';

/** Requests to pin as their owner sees them. */
export interface PinRequest {
  id: string;
  status: RequestStatus;
  createdAt: Date;
  cid: string;
  name: string | null;
  origins: string[];
  meta: Record<string, string> | null;
  /** Why it is not pinned, where there is something to say. */
  detail: string | null;
  missing: { count: number; first: string } | null;
  dagBytes: bigint | null;
}

/** Whose requests; `inCluster`: an IPFS Cluster is configured, and its word counts. */
interface Whose {
  owner: string;
  inCluster: boolean;
}

export const requestStatuses = ['queued', 'pinning', 'pinned', 'failed'] as const;
export type RequestStatus = (typeof requestStatuses)[number];

export const nameMatches = ['exact', 'iexact', 'partial', 'ipartial'] as const;

export interface RequestFilter {
  roots?: readonly string[] | undefined;
  name?: string | undefined;
  match?: (typeof nameMatches)[number] | undefined;
  statuses?: readonly RequestStatus[] | undefined;
  before?: Date | undefined;
  after?: Date | undefined;
  meta?: Record<string, string> | undefined;
}

/**
 * What is fetched is as well pinned as its upload is, by the same rules as `pinStatus` (../pin-status.ts): whatever the
 * request once came to, one that was lost, damaged or given up is not.
 */
function statusBy(inCluster: boolean) {
  return sql<RequestStatus>`case
    when r.state <> 'pinned' then r.state::text
    when ${inCluster} and p.status is not null then case p.status when 'unpinned' then 'failed' else p.status::text end
    when u.state = 'incomplete' then 'queued'
    when u.state not in ('waiting', 'stowed') then 'failed'
    when ${inCluster} then 'queued'
    when (select s.is_kept from upload_statuses s where s.id = u.id) then 'pinned'
    else 'failed' end`;
}

function ownRequests(kysely: Kysely<DB>, owner: string) {
  return kysely
    .selectFrom('pin_requests as r')
    .innerJoin('owners as o', 'o.id', 'r.owner_id')
    .leftJoin('uploads as u', 'u.root', 'r.root')
    .leftJoin('pins as p', 'p.upload_id', 'u.id')
    .where('o.name', '=', owner)
    .where('r.state', '<>', 'removed');
}

function filtered(kysely: Kysely<DB>, whose: Whose, filter: RequestFilter) {
  const { roots, name, match = 'exact', statuses, before, after, meta } = filter;
  return ownRequests(kysely, whose.owner)
    .$if(roots !== undefined, (query) => query.where('r.root', 'in', roots ?? []))
    .$if(name !== undefined, (query) => query.where(nameIs(name ?? '', match)))
    .$if(statuses !== undefined, (query) => query.where(statusBy(whose.inCluster), 'in', statuses ?? []))
    .$if(before !== undefined, (query) => query.where('r.created_at', '<', before ?? new Date()))
    .$if(after !== undefined, (query) => query.where('r.created_at', '>', after ?? new Date()))
    .$if(meta !== undefined, (query) => query.where(sql<boolean>`r.meta @> ${JSON.stringify(meta)}::jsonb`));
}

function nameIs(name: string, match: NonNullable<RequestFilter['match']>) {
  const [field, text] = match.startsWith('i') ? [sql`lower(r.name)`, sql`lower(${name})`] : [sql`r.name`, sql`${name}`];
  return match.endsWith('exact') ? sql<boolean>`${field} = ${text}` : sql<boolean>`strpos(${field}, ${text}) > 0`;
}

function shown(query: ReturnType<typeof ownRequests>, inCluster: boolean) {
  return query
    .select(['r.id', 'r.created_at', 'r.cid', 'r.name', 'r.origins'])
    .select(statusBy(inCluster).as('status'))
    .select(sql<string | null>`coalesce(r.detail, case when ${inCluster} then p.error end)`.as('detail'))
    .select(sql<Record<string, string> | null>`r.meta`.as('meta'))
    .select(['u.missing_count', 'u.missing_first', 'u.dag_bytes']);
}

type Shown = Awaited<ReturnType<ReturnType<typeof shown>['execute']>>[number];

function requestOf(row: Shown): PinRequest {
  const { id, cid, name, origins, meta, detail } = row;
  const isMissing = row.missing_count !== null && row.missing_first !== null && row.status !== 'pinned';
  return {
    id,
    cid,
    name,
    origins,
    meta,
    detail,
    status: row.status,
    createdAt: row.created_at,
    missing: isMissing ? { count: Number(row.missing_count), first: row.missing_first ?? '' } : null,
    dagBytes: row.dag_bytes,
  };
}

/** The newest first, and how many there are in all. */
export async function listRequests(
  kysely: Kysely<DB>,
  whose: Whose,
  { filter, limit }: { filter: RequestFilter; limit: number },
): Promise<{ count: number; requests: PinRequest[] }> {
  const query = filtered(kysely, whose, filter);
  const { count } = await query.select((eb) => eb.fn.countAll<bigint>().as('count')).executeTakeFirstOrThrow();
  const rows = await shown(query, whose.inCluster).orderBy('r.created_at', 'desc').limit(limit).execute();
  return { count: Number(count), requests: rows.map(requestOf) };
}

export async function findRequest(kysely: Kysely<DB>, whose: Whose, id: string): Promise<PinRequest | undefined> {
  const query = ownRequests(kysely, whose.owner).where('r.id', '=', id);
  const row = await shown(query, whose.inCluster).executeTakeFirst();
  return row && requestOf(row);
}
