-- Applied anew at each start: views hold no data. Dropped first, because a column may change its place or type.

drop view if exists aggregate_replicas;
create view aggregate_replicas as
  select a.id as aggregate_id,
    count(d.id) filter (where d.state in ('signed', 'sent', 'accepted', 'published', 'active'))::integer as live_replicas,
    count(d.id) filter (where d.state = 'active')::integer as active_replicas,
    max(d.changed_at) filter (where d.state = 'active') as last_active_at
  from aggregates a left join deals d on d.aggregate_id = a.id
  where a.state = 'sealed'
  group by a.id;
comment on view aggregate_replicas is
  'How well each sealed aggregate is kept: deals that fill a slot, those that are active, and when the youngest of these became so. What topping up and releasing know of deals.';

drop view if exists upload_statuses;
create view upload_statuses as
  select u.id, u.root, u.state, u.created_at, u.changed_at, u.dag_bytes, u.missing_count, u.missing_first, u.failure,
    (select count(*) from cuts c where c.upload_id = u.id)::integer as cut_count,
    (select coalesce(json_agg(placed), '[]') from (
      select p.seq, p.cut, p.selector, a.id as aggregate_id, a.state, a.entry_count, a.length_bytes, a.capacity_bytes,
        a.oldest_accepted_at, a.piece_cid, a.batch_root, a.released_at,
        (select coalesce(json_agg(deal), '[]') from (
          select d.state, d.provider_id, d.changed_at, d.start_epoch, d.end_epoch, d.chain_deal_id, d.sector_start_epoch,
            d.reason_code, d.reason_text
          from deals d
          where d.aggregate_id = a.id
            and d.state in ('signed', 'sent', 'accepted', 'published', 'active', 'expired', 'slashed', 'missed')
          order by d.changed_at, d.id) as deal) as deals,
        (select to_json(refused) from (
          select r.provider_id, coalesce(r.reason_text, r.reason_code) as text, r.changed_at
          from deals r
          where r.aggregate_id = a.id and r.state in ('rejected', 'failed', 'abandoned')
            and not exists (select from deals l
              where l.aggregate_id = a.id and l.state in ('signed', 'sent', 'accepted', 'published', 'active'))
          order by r.changed_at desc, r.id limit 1) as refused) as last_refusal,
        (select to_json(come) from (
          select
            case when t.published_at is not null then 'published' when t.accepted_at is not null then 'accepted'
              when t.signed_at is not null then 'signed' when a.state = 'open' then 'filling' else a.state::text end as stage,
            case when t.signed_at is not null then coalesce(t.published_at, t.accepted_at, t.signed_at)
              when a.state = 'open' then a.opened_at when a.state = 'sealed' then a.sealed_at else a.changed_at end as since,
            (select json_agg(counted) from (
              select r ->> 'code' as code, count(*)::integer as providers
              from (select c.refused from choices c where a.state = 'sealed' and c.aggregate_id = a.id
                order by c.id desc limit 1) as last, jsonb_array_elements(last.refused) as r
              group by r ->> 'code') as counted) as refused
          from (values (a.id)) as one (id) left join aggregate_times t on t.aggregate_id = one.id
          where t.active_at is null) as come) as come
      from placements p join aggregates a on a.id = p.aggregate_id
      where p.upload_id = u.id
      order by a.id desc) as placed) as placements
  from uploads u;
comment on view upload_statuses is
  'All that is told of an upload, in one row: where it lies, whole or in parts (newest aggregate first), with the deals that are shown (oldest change first) and the last refusal of each aggregate that has no live deal. What /check and the lists of uploads read, so that they cannot differ. Each part is looked up by index for the rows that are asked for alone.';

drop view if exists ops_aggregate_times;
create view ops_aggregate_times as
  select a.id as aggregate_id, a.state, a.opened_at, a.sealed_at, t.published_at, t.active_at,
    greatest(extract(epoch from a.opened_at - a.oldest_accepted_at), 0)::float8 as seconds_to_aggregate,
    extract(epoch from a.sealed_at - a.oldest_accepted_at)::float8 as seconds_to_sealed,
    extract(epoch from t.published_at - a.oldest_accepted_at)::float8 as seconds_to_published,
    extract(epoch from t.active_at - a.oldest_accepted_at)::float8 as seconds_to_active
  from aggregates a left join aggregate_times t on t.aggregate_id = a.id
  where a.oldest_accepted_at is not null;
comment on view ops_aggregate_times is
  'How long each aggregate took to each point, counted from the acceptance of its oldest upload, so that most uploads took less; null: it is not there yet. Up to a minute behind.';

drop view if exists ops_stage_times;
create view ops_stage_times as
  select a.id as aggregate_id, s.stage, s.entered_at, case when s.left_at is not null then greatest(s.left_at, s.entered_at) end as left_at, t.active_at
  from aggregates a left join aggregate_times t on t.aggregate_id = a.id
  cross join lateral (values
    ('waiting', a.oldest_accepted_at, greatest(a.opened_at, a.oldest_accepted_at)),
    ('filling', a.opened_at, t.closed_at),
    ('sealing', t.closed_at, a.sealed_at),
    ('sealed', a.sealed_at, t.signed_at),
    ('signed', t.signed_at, t.accepted_at),
    ('accepted', t.accepted_at, t.published_at),
    ('published', t.published_at, t.active_at)
  ) as s (stage, entered_at, left_at)
  where s.entered_at is not null and a.entry_count > 0 and (t.active_at is null or t.active_at >= s.entered_at);
comment on view ops_stage_times is
  'When each aggregate entered and left each stage for the first time (left_at null: it is there), and when its first deal became active. waiting is told of its oldest upload. Up to a minute behind.';
