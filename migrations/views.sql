-- Applied anew at each start: views hold no data. Dropped first, because a column may change its place or type.

drop view if exists upload_statuses;
drop view if exists uploads_in_deals;
drop view if exists current_cuts;
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

create view current_cuts as
  select c.* from cuts c
  where not exists (select from placements p where p.upload_id = c.upload_id and p.cut = c.cut and p.topped_up);
comment on view current_cuts is
  'The parts that an upload is cut into now. Those of places that it gave up, because it was sent anew, are history.';

create view uploads_in_deals as
  select u.id as upload_id from uploads u
  where not exists (
    select from (
      select c.cut from current_cuts c where c.upload_id = u.id
      union all select null where not exists (select from current_cuts c where c.upload_id = u.id)) as run
    where not exists (
      select from placements p where p.upload_id = u.id and (p.cut is null or p.cut = run.cut)
        and (select r.live_replicas from aggregate_replicas r where r.aggregate_id = p.aggregate_id) > 0));
comment on view uploads_in_deals is
  'Uploads all of which lies, whole or in parts, in aggregates that have a live deal: what holds those whose bytes were released. Such an upload is pinned, and one that is sent again is stored anew when it is no more among them. To be asked of single uploads.';

create view upload_statuses as
  select u.id, u.root, u.state, u.created_at, u.changed_at, u.dag_bytes, u.missing_count, u.missing_first, u.failure,
    (select pin.status from pins pin where pin.upload_id = u.id) as pin_status,
    case when exists (select from parts where parts.upload_id = u.id)
      then not exists (select from damage where damage.upload_id = u.id and damage.cleared_at is null)
      else exists (select from uploads_in_deals d where d.upload_id = u.id) end as is_kept,
    (select count(*) from current_cuts c where c.upload_id = u.id)::integer as cut_count,
    (select coalesce(json_agg(placed), '[]') from (
      select p.seq, p.cut, p.cut is not null and p.topped_up as given_up, p.selector, a.id as aggregate_id, a.state, a.entry_count, a.length_bytes, a.capacity_bytes,
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
      order by a.id desc) as placed) as placements,
    not (select proposing from policies order by version desc limit 1) as proposing_paused
  from uploads u;
comment on view upload_statuses is
  'All that is told of an upload, in one row: where it lies, whole or in parts (newest aggregate first), with the deals that are shown (oldest change first) and the last refusal of each aggregate that has no live deal. What /check and the lists of uploads read, so that they cannot differ. Each part is looked up by index for the rows that are asked for alone.';
