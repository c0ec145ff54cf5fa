import { sql, type Kysely, type Selectable } from 'kysely';
import type { AddressSource, DB, Providers, ProviderState } from '../../db/tables.ts';

export interface Provider {
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
}

/** More providers than the network has; a list longer than this is a fault. */
const MAX_PROVIDERS = 10_000;

function toProvider(row: Selectable<Providers>): Provider {
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
  };
}

export interface NewProvider {
  id: string;
  /** Given by an operator: they win over the chain's. */
  manual: { peerId: string; multiaddrs: string[] } | undefined;
  at: Date;
}

/** Adds a provider, or enables it again and replaces its addresses when it is known. */
export async function insertProvider(db: Kysely<DB>, { id, manual, at }: NewProvider): Promise<Provider> {
  const address = {
    state: 'enabled' as const,
    address_source: manual === undefined ? ('chain' as const) : ('manual' as const),
    peer_id: manual?.peerId ?? null,
    multiaddrs: manual?.multiaddrs ?? [],
    resolved_at: null,
    resolve_error: null,
    retry_at: null,
    failures: 0,
  };
  const row = await db
    .insertInto('providers')
    .values({ id, added_at: at, ...address })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(address))
    .returningAll()
    .executeTakeFirstOrThrow();
  return toProvider(row);
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
  await db.updateTable('providers').set({ resolve_error: error }).where('id', '=', id).execute();
}

/** Has the provider's addresses read again before it is dialed next. */
export async function setStale(db: Kysely<DB>, id: string): Promise<void> {
  await db.updateTable('providers').set({ resolved_at: null }).where('id', '=', id).execute();
}

/** One failure more, and no question to this provider before `retryAt`. */
export async function noteFailure(db: Kysely<DB>, id: string, retryAt: Date): Promise<void> {
  await db
    .updateTable('providers')
    .set((eb) => ({ failures: eb('failures', '+', 1), retry_at: retryAt }))
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
