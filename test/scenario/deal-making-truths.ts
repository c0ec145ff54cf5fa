import { sql, type Kysely } from 'kysely';
import type { Database } from '../../src/db/connect.ts';
import type { DB } from '../../src/db/tables.ts';
import type { Devnet } from '../../src/devnet/devnet.ts';
import { formatAddress } from '../../src/filecoin/address.ts';
import type { DealWorld } from './deal-making-world.ts';

/**
 * The life of every deal by its events, in the order in which they were written: `from_position` is its signing,
 * `to_position` the event after which it was nobody's any more. A deal that failed or was called off may still be
 * published: it is over when it is settled, which no event tells, and so counts to the last event before that.
 * `published`: the chain took what it costs, for good.
 */
const lives = sql`
  with turns as (
    select deal_id, position, to_state,
      lead(to_state) over (partition by deal_id order by position) as next_state
    from events where deal_id is not null and from_state is distinct from to_state),
  lives as (
    select d.id, d.aggregate_id, d.provider_id, d.generation, d.slot, d.verified, a.piece_bytes,
      d.price_per_epoch * (d.end_epoch - d.start_epoch) as escrow,
      (select min(t.position) from turns t where t.deal_id = d.id and t.to_state = 'signed') as from_position,
      (select min(t.position) from turns t where t.deal_id = d.id and t.to_state = 'published') as published_position,
      case when d.settled_at is null then null
        when d.called_off_at is not null or d.state = 'failed'
          then (select max(e.position) from events e where e.at <= d.settled_at)
        else (select max(t.position) from turns t where t.deal_id = d.id) end as to_position,
      (select max(t.position) from turns t where t.deal_id = d.id
        and t.to_state in ('rejected', 'failed', 'abandoned', 'missed', 'expired', 'slashed')
        and t.next_state is null) as left_slot
    from deals d join aggregates a on a.id = d.aggregate_id)`;

async function rowsOf<T>(db: Kysely<DB>, query: ReturnType<typeof sql<T>>): Promise<T[]> {
  return (await query.execute(db)).rows;
}

/** Pairs of deals of one aggregate at one provider that could both have been published at some moment. */
export async function doubles({ kysely }: Database): Promise<object[]> {
  return rowsOf(
    kysely,
    sql<object>`${lives} select a.id as one, b.id as other, a.provider_id from lives a join lives b
      on a.aggregate_id = b.aggregate_id and a.provider_id = b.provider_id and a.from_position < b.from_position
      where a.to_position is null or a.to_position > b.from_position`,
  );
}

/** Pairs of deals that filled one slot at once. */
export async function crowdedSlots({ kysely }: Database): Promise<object[]> {
  return rowsOf(
    kysely,
    sql<object>`${lives} select a.id as one, b.id as other, a.aggregate_id, a.slot from lives a join lives b
      on a.aggregate_id = b.aggregate_id and a.slot = b.slot and a.generation = b.generation
      and a.from_position < b.from_position
      where a.left_slot is null or a.left_slot > b.from_position`,
  );
}

export interface Peaks {
  dataCapBytes: number;
  escrow: string;
  inFlightBytes: number;
  perRegion: number;
}

/** The most that ever was promised or spent, all at once; and the most of what the policy caps. */
export async function peaks({ kysely }: Database): Promise<Peaks> {
  const [row] = await rowsOf(
    kysely,
    sql<Peaks>`${lives}, changes as (
      select from_position as position, piece_bytes, escrow, provider_id, 1 as sign from lives
      union all
      select to_position, piece_bytes, escrow, provider_id, -1 from lives
        where to_position is not null and published_position is null),
    running as (select sum(sign * piece_bytes) over (order by position, sign) as bytes,
      sum(sign * escrow) over (order by position, sign) as escrow from changes),
    flights as (
      select provider_id, from_position as position, piece_bytes, 1 as sign from lives
      union all
      select provider_id, coalesce(published_position, left_slot), piece_bytes, -1 from lives
        where coalesce(published_position, left_slot) is not null),
    in_flight as (select sum(sign * piece_bytes) over (partition by provider_id order by position, sign) as bytes
      from flights),
    spread as (
      select l.aggregate_id, p.region, l.from_position as position, 1 as sign
        from lives l join providers p on p.id = l.provider_id
      union all
      select l.aggregate_id, p.region, l.left_slot, -1 from lives l join providers p on p.id = l.provider_id
        where l.left_slot is not null),
    regions as (select sum(sign) over (partition by aggregate_id, region order by position, sign) as replicas
      from spread)
    select (select max(bytes) from running)::float8 as "dataCapBytes",
      (select max(escrow) from running)::text as escrow,
      (select max(bytes) from in_flight)::float8 as "inFlightBytes",
      (select max(replicas) from regions)::integer as "perRegion"`,
  );
  if (row === undefined) throw new Error('an aggregate query has one row');
  return row;
}

/** How many deals of a persona's providers ended in which state, and why. */
export async function endings({ kysely }: Database, { personas }: DealWorld): Promise<Map<string, Set<string>>> {
  const rows = await kysely
    .selectFrom('deals')
    .select(['provider_id', 'state', 'reason_code'])
    .where('reason_code', 'is not', null)
    .distinct()
    .execute();
  const told = rows.map((row) => ({
    persona: personas.get(row.provider_id) ?? 'normal',
    ending: `${row.state}: ${row.reason_code}`,
  }));
  const grouped = Map.groupBy(told, ({ persona }) => persona);
  return new Map([...grouped].map(([persona, all]) => [persona, new Set(all.map(({ ending }) => ending))]));
}

/**
 * Pairs of deals on the devnet's own ledger, of one piece at one provider, of which the later one was signed while the
 * first was alive: proven, or not yet past its start.
 */
export function doublesOnLedger({ ledger }: Devnet, startDelayEpochs: number): string[] {
  const deals = [...ledger.view().state.deals.entries()].map(([id, deal]) => ({ id, ...deal, ...deal.proposal }));
  const byPlace = Map.groupBy(deals, (deal) => `${deal.pieceCid.toString()} at ${formatAddress(deal.provider)}`);
  return [...byPlace].flatMap(([place, all]) =>
    all.flatMap((first) => {
      const lived = (later: typeof first) =>
        first.sectorStartEpoch >= 0 || later.startEpoch - startDelayEpochs <= first.startEpoch;
      const later = all.filter((other) => other.startEpoch > first.startEpoch || other.id > first.id);
      return later.filter(lived).map((other) => `${place}: ${first.id} and ${other.id}`);
    }),
  );
}

/** Deals whose bytes were not the same each time that a provider received them. */
export function resendsThatDiffer({ proposals }: DealWorld): string[] {
  const byDeal = Map.groupBy(proposals, ({ deal }) => deal);
  return [...byDeal].filter(([, all]) => new Set(all.map((one) => one.signedProposal)).size > 1).map(([id]) => id);
}

/** Deals that our rows and the devnet's ledger do not agree on: an active one that is none, or one of which we know nothing. */
export async function disagreements({ kysely }: Database, { ledger }: Devnet): Promise<string[]> {
  const rows = await kysely
    .selectFrom('deals')
    .select(['id', 'state', 'chain_deal_id', 'provider_id'])
    .where('chain_deal_id', 'is not', null)
    .execute();
  const ours = new Map(rows.map((row) => [row.chain_deal_id, row]));
  const onChain = [...ledger.view().state.deals.entries()];
  const unknown = onChain.flatMap(([id]) => (ours.has(id) ? [] : [`chain deal ${id} is not known to us`]));
  const falsely = rows
    .filter(({ state, chain_deal_id: id }) => state === 'active' && (ledger.deal(id ?? 0n)?.sectorStartEpoch ?? -1) < 0)
    .map(({ id }) => `${id} is not active on the chain`);
  return [...unknown, ...falsely];
}
