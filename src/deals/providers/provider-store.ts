import { sql, type Kysely, type Selectable } from 'kysely';
import { countRows, type RowCount } from '../../db/count-rows.ts';
import type { AddressSource, DB, Providers, ProviderState } from '../../db/tables.ts';
import { storableText } from '../../storable-text.ts';
import type { Via } from '../transport/transport.ts';

/** What a provider asked for when it was last asked. Prices are attoFIL per GiB per epoch, sizes padded bytes. */
export interface StoredAsk {
  price: bigint;
  verifiedPrice: bigint;
  minPieceBytes: bigint;
  maxPieceBytes: bigint;
  at: Date;
}

/** Who runs it and where, by an operator's word; undefined: nobody said. */
export interface ProviderLabels {
  org: string | undefined;
  region: string | undefined;
}

export interface Provider extends ProviderLabels {
  /** `f0…` */
  id: string;
  state: ProviderState;
  addressSource: AddressSource;
  peerId: string | undefined;
  multiaddrs: string[];
  sectorBytes: bigint | undefined;
  ownerId: string | undefined;
  addedAt: Date;
  resolvedAt: Date | undefined;
  resolveError: string | undefined;
  /** Not asked before. */
  retryAt: Date | undefined;
  failures: number;
  /** The software it said it is. */
  agent: string | undefined;
  /** When it last answered anything. */
  seenAt: Date | undefined;
  /** The way that worked last, and when. */
  transport: Via | undefined;
  transportAt: Date | undefined;
  ask: StoredAsk | undefined;
}

/** More providers than the network has; a list longer than this is a fault. */
const MAX_PROVIDERS = 10_000;

function toAsk(row: Selectable<Providers>): StoredAsk | undefined {
  const { ask_price: price, ask_verified_price: verifiedPrice, ask_at: at } = row;
  const { ask_min_piece_bytes: minPieceBytes, ask_max_piece_bytes: maxPieceBytes } = row;
  if (price === null || verifiedPrice === null || at === null) return undefined;
  if (minPieceBytes === null || maxPieceBytes === null) return undefined;
  return { price: BigInt(price), verifiedPrice: BigInt(verifiedPrice), minPieceBytes, maxPieceBytes, at };
}

/** A constraint of the table allows these words alone. */
function toTransport(text: string | null): Via | undefined {
  return text === 'libp2p' || text === 'https' ? text : undefined;
}

export function toProvider(row: Selectable<Providers>): Provider {
  return {
    id: row.id,
    state: row.state,
    addressSource: row.address_source,
    peerId: row.peer_id ?? undefined,
    multiaddrs: row.multiaddrs,
    sectorBytes: row.sector_bytes ?? undefined,
    ownerId: row.owner_id ?? undefined,
    addedAt: row.added_at,
    resolvedAt: row.resolved_at ?? undefined,
    resolveError: row.resolve_error ?? undefined,
    retryAt: row.retry_at ?? undefined,
    failures: row.failures,
    org: row.org ?? undefined,
    region: row.region ?? undefined,
    agent: row.agent ?? undefined,
    seenAt: row.seen_at ?? undefined,
    transport: toTransport(row.transport),
    transportAt: row.transport_at ?? undefined,
    ask: toAsk(row),
  };
}

export interface NewProvider {
  id: string;
  /** Given by an operator: they win over the chain's. */
  manual: { peerId: string; multiaddrs: string[] } | undefined;
  /** Those given replace those known. */
  labels?: Partial<ProviderLabels>;
  at: Date;
}

const NO_ASK = {
  ask_price: null,
  ask_verified_price: null,
  ask_min_piece_bytes: null,
  ask_max_piece_bytes: null,
  ask_at: null,
};

/** Adds a provider, or enables it again and replaces its addresses when it is known: what it asked for is asked anew. */
export async function insertProvider(db: Kysely<DB>, { id, manual, labels = {}, at }: NewProvider): Promise<Provider> {
  const address = {
    state: 'enabled' as const,
    address_source: manual === undefined ? ('chain' as const) : ('manual' as const),
    peer_id: manual?.peerId ?? null,
    multiaddrs: manual?.multiaddrs ?? [],
    resolved_at: null,
    resolve_error: null,
    retry_at: null,
    failures: 0,
    ...NO_ASK,
    ...labelColumns(labels),
  };
  const row = await db
    .insertInto('providers')
    .values({ id, added_at: at, ...address })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(address))
    .returningAll()
    .executeTakeFirstOrThrow();
  return toProvider(row);
}

function labelColumns({ org, region }: Partial<ProviderLabels>) {
  return { ...(org !== undefined && { org: org || null }), ...(region !== undefined && { region: region || null }) };
}

/** Every provider that was not removed, by id. */
export async function listProviders(db: Kysely<DB>): Promise<Provider[]> {
  const rows = await db
    .selectFrom('providers')
    .selectAll()
    .where('state', '<>', 'removed')
    .orderBy('id')
    .limit(MAX_PROVIDERS)
    .execute();
  return rows.map(toProvider);
}

export interface ProviderFilter {
  /** Undefined: all that are not removed. */
  state?: ProviderState | undefined;
  region?: string | undefined;
  org?: string | undefined;
}

function matching(db: Kysely<DB>, { state, region, org }: ProviderFilter) {
  let query = db.selectFrom('providers').selectAll();
  query = state === undefined ? query.where('state', '<>', 'removed') : query.where('state', '=', state);
  if (region !== undefined) query = query.where('region', '=', region);
  return org === undefined ? query : query.where('org', '=', org);
}

/** A page in the order of their ids as text, from behind the one with `afterId`. */
export async function listProviderPage(
  db: Kysely<DB>,
  filter: ProviderFilter,
  { afterId, limit }: { afterId?: string | undefined; limit: number },
): Promise<Provider[]> {
  let query = matching(db, filter);
  if (afterId !== undefined) query = query.where('id', '>', afterId);
  const rows = await query.orderBy('id').limit(limit).execute();
  return rows.map(toProvider);
}

export async function countProviders(db: Kysely<DB>, filter: ProviderFilter): Promise<RowCount> {
  return countRows(db, matching(db, filter));
}

export async function findProvider(db: Kysely<DB>, id: string): Promise<Provider | undefined> {
  const row = await db.selectFrom('providers').selectAll().where('id', '=', id).executeTakeFirst();
  return row && toProvider(row);
}

/** Enables, pauses or removes a provider; false when there is none with this id. Deals in flight go on. */
export async function setProviderState(db: Kysely<DB>, id: string, state: ProviderState): Promise<boolean> {
  const enabling = state === 'enabled' ? { retry_at: null, failures: 0 } : {};
  const { numUpdatedRows } = await db
    .updateTable('providers')
    .set({ state, ...enabling })
    .where('id', '=', id)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** What the chain says of a provider. */
export interface ResolvedProvider {
  peerId: string | undefined;
  multiaddrs: string[];
  sectorBytes: bigint;
  ownerId: string;
}

/** Stores what the chain says; a peer id and addresses given by an operator stay. */
export async function setResolved(db: Kysely<DB>, id: string, seen: ResolvedProvider, at: Date): Promise<void> {
  const { peerId = null, multiaddrs } = seen;
  await db
    .updateTable('providers')
    .set({
      peer_id: sql`case when address_source = 'chain' then ${peerId}::text else peer_id end`,
      multiaddrs: sql`case when address_source = 'chain' then ${multiaddrs}::text[] else multiaddrs end`,
      sector_bytes: seen.sectorBytes,
      owner_id: seen.ownerId,
      resolved_at: at,
      resolve_error: null,
    })
    .where('id', '=', id)
    .execute();
}

/** Keeps why resolving failed; what was known before stays in use. */
export async function setResolveError(db: Kysely<DB>, id: string, error: string): Promise<void> {
  await db
    .updateTable('providers')
    .set({ resolve_error: storableText(error) })
    .where('id', '=', id)
    .execute();
}

/** Has the provider's addresses read again before it is dialed next. */
export async function setStale(db: Kysely<DB>, id: string): Promise<void> {
  await db.updateTable('providers').set({ resolved_at: null }).where('id', '=', id).execute();
}

/** One failure more, and no question to this provider before `retryAt`, nor before an earlier failure has it rest. */
export async function noteFailure(db: Kysely<DB>, id: string, retryAt: Date): Promise<void> {
  await db
    .updateTable('providers')
    .set((eb) => ({ failures: eb('failures', '+', 1), retry_at: sql`greatest(retry_at, ${retryAt}::timestamptz)` }))
    .where('id', '=', id)
    .execute();
}

/** The provider took a proposal: its failures are history. */
export async function noteSuccess(db: Kysely<DB>, id: string): Promise<void> {
  await db
    .updateTable('providers')
    .set({ failures: 0, retry_at: null })
    .where('id', '=', id)
    .where('failures', '>', 0)
    .execute();
}

/** Sets the labels given; an empty one is taken away. False when there is no such provider. */
export async function setLabels(db: Kysely<DB>, id: string, labels: Partial<ProviderLabels>): Promise<boolean> {
  const columns = labelColumns(labels);
  const { numUpdatedRows } = await db.updateTable('providers').set(columns).where('id', '=', id).executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** An answer of the provider: by which way it came, and what software it said it is, where known. */
export interface Seen {
  via?: Via | undefined;
  agent?: string | undefined;
  at: Date;
}

/** Software names itself in a few words; longer text is no name. */
const MAX_AGENT_CHARS = 200;

/** The provider answered something, be it a refusal: when, by which way, and as what software. Never goes back in time. */
export async function noteSeen(db: Kysely<DB>, id: string, { via, agent, at }: Seen): Promise<void> {
  await db
    .updateTable('providers')
    .set({
      seen_at: at,
      ...(via !== undefined && { transport: via, transport_at: at }),
      ...(agent !== undefined && {
        agent: agent
          .replaceAll(/\p{Cc}/gu, ' ')
          .slice(0, MAX_AGENT_CHARS)
          .toWellFormed(),
      }),
    })
    .where('id', '=', id)
    .where((eb) => eb.or([eb('seen_at', 'is', null), eb('seen_at', '<=', at)]))
    .execute();
}

/** Keeps what the provider asks for, or that it has no ask. */
export async function setAsk(db: Kysely<DB>, id: string, ask: StoredAsk | undefined): Promise<void> {
  const columns =
    ask === undefined
      ? NO_ASK
      : {
          ask_price: ask.price.toString(),
          ask_verified_price: ask.verifiedPrice.toString(),
          ask_min_piece_bytes: ask.minPieceBytes,
          ask_max_piece_bytes: ask.maxPieceBytes,
          ask_at: ask.at,
        };
  await db.updateTable('providers').set(columns).where('id', '=', id).execute();
}
