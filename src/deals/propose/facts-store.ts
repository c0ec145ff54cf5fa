import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { offChainStates } from '../deal-states.ts';
import { toProvider, type Provider } from '../providers/provider-store.ts';
import { noEvidence, type Candidate, type Evidence, type Load } from './candidate.ts';
import { countOutcomes, type OutcomeCount } from './outcomes.ts';

/** A provider's row and all that choosing looks at beside it. */
export type ProviderFacts = Provider & Candidate;

const HOUR_MS = 3_600_000;
/** What is older counts next to nothing anyhow: six times half. */
const EVIDENCE_MS = 180 * 86_400_000;

function loads(db: Kysely<DB>, now: Date) {
  const inFlight = db
    .selectFrom('deals as d')
    .innerJoin('aggregates as a', 'a.id', 'd.aggregate_id')
    .select(['d.provider_id', sql<string>`sum(a.piece_bytes)::text`.as('bytes')])
    .where('d.settled_at', 'is', null)
    .where('d.state', 'in', offChainStates)
    .groupBy('d.provider_id');
  const recent = db
    .selectFrom('deals')
    .select(['provider_id', sql<number>`count(*)::integer`.as('proposals')])
    .where('created_at', '>', new Date(now.getTime() - HOUR_MS))
    .groupBy('provider_id');
  return { inFlight, recent };
}

/** How the deals of each provider ended or went, by state and reason code; of these providers alone when `only` is given. */
export async function listOutcomes(db: Kysely<DB>, now: Date, only?: readonly string[]): Promise<OutcomeCount[]> {
  const rows = await db
    .selectFrom('deals')
    .select(['provider_id', 'state', 'reason_code', sql<number>`count(*)::integer`.as('count')])
    .select((eb) => eb.fn.max('changed_at').as('last_at'))
    .select(sql<string | null>`avg(start_epoch - sector_start_epoch)::text`.as('active_before_start'))
    .where('created_at', '>', new Date(now.getTime() - EVIDENCE_MS))
    .where('attempts', '>', 0)
    .$if(only !== undefined, (query) => query.where('provider_id', 'in', [...(only ?? [])]))
    .groupBy(['provider_id', 'state', 'reason_code'])
    .execute();
  return rows.map((row) => ({
    provider: row.provider_id,
    state: row.state,
    reasonCode: row.reason_code ?? undefined,
    count: row.count,
    lastAt: row.last_at,
    activeEpochsBeforeStart: row.active_before_start === null ? undefined : Number(row.active_before_start),
  }));
}

/** All providers with their facts, removed ones too, in two queries whatever their number. */
export async function listProviderFacts(db: Kysely<DB>, now: Date): Promise<ProviderFacts[]> {
  const { inFlight, recent } = loads(db, now);
  const rows = await db
    .selectFrom('providers as p')
    .leftJoin(inFlight.as('f'), 'f.provider_id', 'p.id')
    .leftJoin(recent.as('r'), 'r.provider_id', 'p.id')
    .selectAll('p')
    .select(['f.bytes', 'r.proposals'])
    .orderBy('p.id')
    .execute();
  const evidence: ReadonlyMap<string, Evidence> = countOutcomes(await listOutcomes(db, now));
  return rows.map((row) => ({
    ...toProvider(row),
    inFlightBytes: BigInt(row.bytes ?? 0),
    proposalsLastHour: row.proposals ?? 0,
    ...(evidence.get(row.id) ?? noEvidence),
  }));
}

/** What is on its way to these providers now; those without anything are left out. */
export async function listLoads(db: Kysely<DB>, providers: string[], now: Date): Promise<Map<string, Load>> {
  const { inFlight, recent } = loads(db, now);
  const rows = await db
    .selectFrom('providers as p')
    .leftJoin(inFlight.where('d.provider_id', 'in', providers).as('f'), 'f.provider_id', 'p.id')
    .leftJoin(recent.where('provider_id', 'in', providers).as('r'), 'r.provider_id', 'p.id')
    .select(['p.id', 'f.bytes', 'r.proposals'])
    .where('p.id', 'in', providers)
    .execute();
  return new Map(
    rows.map((row) => [row.id, { inFlightBytes: BigInt(row.bytes ?? 0), proposalsLastHour: row.proposals ?? 0 }]),
  );
}
