import type { Client } from 'pg';

/** Each query lists the rows that break one rule: an honest database answers every one with no row. */
const ROW_RULES: Record<string, string> = {
  'a stowed upload has a placement of its own, of each of its cuts if it was cut; any other has none, or not of all cuts': `
    select u.root, u.state from uploads u
    left join lateral (select count(*) as cuts from cuts where upload_id = u.id and not exists (
      select from placements p where p.upload_id = u.id and p.cut = cuts.cut and p.topped_up)) c on true
    left join lateral (
      select count(*) filter (where cut is null) as whole, count(distinct cut) as cut
      from placements where upload_id = u.id and not topped_up) p on true
    where (u.state = 'stowed') <> (p.whole > 0 or (c.cuts > 0 and p.cut = c.cuts))
      or (u.state not in ('waiting', 'stowed') and p.cut > 0)`,
  'cuts are numbered from 0, and each is the sum of its extents, which lie in parts of its upload': `
    select c.upload_id, c.cut from (select *, row_number() over (partition by upload_id order by cut) - 1 as place from cuts) c
    left join lateral (
      select sum(length_bytes) as bytes, bool_and(exists (
        select from parts p where p.upload_id = e.upload_id and p.object_key = e.object_key
          and p.object_offset <= e.object_offset and p.object_offset + p.length_bytes >= e.object_offset + e.length_bytes)) as held
      from cut_extents e where e.upload_id = c.upload_id and e.cut = c.cut) e on true
    where c.cut <> c.place or (e.bytes is not null and (e.bytes <> c.run_bytes or not e.held))
      or (e.bytes is null and not exists (
        select from placements p join aggregates a on a.id = p.aggregate_id
        where p.upload_id = c.upload_id and p.cut = c.cut and a.released_at is not null))`,
  'filler is whole sections of 65,575 bytes, and the CAR counts it': `
    select id from aggregates where filler_bytes % 65575 <> 0
      or (car_bytes is not null and car_bytes <> length_bytes + filler_bytes + tree_bytes)`,
  'placements follow each other from byte 59 without gap or overlap': `
    select aggregate_id, seq from (
      select aggregate_id, seq, offset_bytes,
        coalesce(lag(offset_bytes + length_bytes) over w, 59) as expected, row_number() over w as place
      from placements window w as (partition by aggregate_id order by seq)) placed
    where offset_bytes <> expected`,
  'an aggregate counts its entries and its length': `
    select a.id from aggregates a
    left join (select aggregate_id, count(*) as entries, sum(length_bytes) as bytes from placements group by 1) p on p.aggregate_id = a.id
    where a.entry_count <> coalesce(p.entries, 0) or a.length_bytes <> 59 + coalesce(p.bytes, 0)`,
  'a placement has the length of its upload, or of its cut': `
    select p.aggregate_id, p.seq from placements p join uploads u on u.id = p.upload_id
    left join cuts c on c.upload_id = p.upload_id and c.cut = p.cut
    where p.length_bytes <> case when p.cut is null then u.run_bytes else c.run_bytes end`,
  'a run is the sum of its parts': `
    select u.root from uploads u
    left join (select upload_id, sum(length_bytes) as bytes, sum(block_count) as blocks from parts where run_seq is not null group by 1) p on p.upload_id = u.id
    where (u.run_bytes is distinct from p.bytes or u.block_count is distinct from p.blocks)
      and not (p.bytes is null and exists (
        select from placements pl join aggregates a on a.id = pl.aggregate_id
        where pl.upload_id = u.id and a.released_at is not null))`,
  'every placement of a sealed aggregate has a selector, no other has one': `
    select p.aggregate_id, p.seq from placements p join aggregates a on a.id = p.aggregate_id
    where (a.state = 'sealed') <> (p.selector is not null)`,
  'no two live deals share a slot and generation': `
    select aggregate_id, slot, generation from deals where state in ('signed','sent','accepted','published','active')
    group by 1, 2, 3 having count(*) > 1`,
  'no two deals that could both come true share an aggregate and provider': `
    select aggregate_id, provider_id, generation from deals where settled_at is null group by 1, 2, 3 having count(*) > 1`,
  'only sealed aggregates have deals': `
    select d.id from deals d join aggregates a on a.id = d.aggregate_id where a.state <> 'sealed'`,
  'a slot lies within the policy under which it was signed': `
    select d.id from deals d join policies p on p.version = d.policy_version where d.slot >= p.replicas`,
  'the last event of a deal says its state': `
    select d.id, d.state from deals d
    where d.state::text is distinct from (select e.to_state from events e where e.deal_id = d.id order by position desc limit 1)`,
  'the last event of an aggregate says its state': `
    select a.id, a.state from aggregates a
    where a.state::text is distinct from (select e.to_state from events e where e.aggregate_id = a.id order by position desc limit 1)`,
  'the last event of an upload says its state': `
    select u.root, u.state from uploads u
    where u.state::text is distinct from (select e.to_state from events e where e.upload_id = u.id order by position desc limit 1)`,
  'events of one thing follow each other: each begins where the one before ended': `
    select position from (
      select position, from_state, lag(to_state) over (partition by upload_id, aggregate_id, deal_id order by position) as before from events) told
    where from_state is distinct from before`,
  'a deal was signed before anything else was said of it': `
    select deal_id from (select distinct on (deal_id) deal_id, to_state from events where deal_id is not null order by deal_id, position) first
    where to_state <> 'signed'`,
  'active, published and ended deals name the epoch and the evidence': `
    select position from events where deal_id is not null and to_state in ('published','active','slashed','missed','expired')
      and (epoch is null or evidence is null)`,
};

const OVERLAP_RULE = 'at no instant had an aggregate two live deals with one provider';
/** Lives as intervals of event positions: two that overlap would mean two live proposals at one instant. */
const OVERLAP_QUERY = `
  with lives as (
    select d.aggregate_id, d.provider_id, d.generation, d.id, min(e.position) as born,
      min(e.position) filter (where e.to_state in ('rejected','missed','expired','slashed','abandoned')) as died
    from deals d join events e on e.deal_id = d.id group by 1, 2, 3, 4)
  select a.id, b.id as other from lives a join lives b
    on a.aggregate_id = b.aggregate_id and a.provider_id = b.provider_id and a.generation = b.generation and a.id < b.id
  where a.born < coalesce(b.died, 9223372036854775807) and b.born < coalesce(a.died, 9223372036854775807)`;

/** Broken rules of the rows alone, each as a sentence with the first rows that break it. */
export async function brokenRowRules(client: Client): Promise<string[]> {
  const broken: string[] = [];
  for (const [rule, query] of Object.entries({ ...ROW_RULES, [OVERLAP_RULE]: OVERLAP_QUERY })) {
    const { rows } = await client.query(query);
    if (rows.length > 0) broken.push(`${rule}: ${rows.length} broken, first ${JSON.stringify(rows.slice(0, 3))}`);
  }
  return broken;
}
