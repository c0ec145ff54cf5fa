-- What operators ask, and the dashboard shows: docs/sql.md. Applied anew at each start.

do $$ begin
  if exists (select from pg_roles where rolname = current_user and (rolcreaterole or rolsuper))
    and not exists (select from pg_roles where rolname = 'lading_ops')
  then
    create role lading_ops nologin;
  end if;
exception
  -- Another database of the same server came first.
  when duplicate_object or unique_violation then null;
end $$;

drop view if exists ops_pins, ops_audit, ops_store, ops_webhooks, ops_outbox, ops_job_faults, ops_jobs, ops_chain, ops_no_takers, ops_runway,
  ops_expiring, ops_transfers, ops_providers, ops_deals_by_provider, ops_deals_by_state, ops_deals, ops_stuck, ops_time_percentiles,
  ops_daily, ops_aggregates, ops_uploads, ops_uploads_by_state, ops_funnel, ops_aggregate_stages, ops_aggregate_times, ops_stage_times;

create view ops_aggregate_stages as
  select a.id as aggregate_id,
    case when a.state = 'open' then 'filling' when a.state = 'sealing' then 'sealing' when active.aggregate_id is not null then 'active'
      else coalesce(moving.best::text, 'sealed') end as stage,
    a.piece_cid, a.entry_count as uploads, coalesce(a.car_bytes, a.length_bytes) as bytes, a.oldest_accepted_at
  from aggregates a
  left join (select distinct aggregate_id from deals where state = 'active') as active on active.aggregate_id = a.id
  left join (
    select aggregate_id, max(state) as best from deals where state in ('signed', 'sent', 'accepted', 'published') group by aggregate_id
  ) as moving on moving.aggregate_id = a.id
  where a.entry_count > 0;
comment on view ops_aggregate_stages is 'Where each aggregate stands now: where its best live deal is, by the order of the states; sealed: it has none.';

create view ops_uploads_by_state as
  select s.state::text as state, coalesce(k.items, 0)::bigint as uploads, coalesce(k.bytes, 0)::bigint as bytes
  from unnest(enum_range(null::upload_state)) as s (state)
  left join (
    select state, sum(items) as items, sum(bytes) as bytes
    from (select state, items, bytes from kept_counts where what = 'upload'
      union all select state, items, bytes from count_changes where what = 'upload') as both_tables
    group by state
  ) as k on k.state = s.state::text;
comment on view ops_uploads_by_state is 'Uploads by state, with the bytes of their runs in aggregates (0 while they are incomplete).';

create view ops_funnel as
  with uploads_of as (
    select state, uploads, bytes from ops_uploads_by_state
  ), aggregates_of as (
    select stage, sum(uploads) as uploads, count(*) as aggregates, sum(bytes) as bytes, min(oldest_accepted_at) as oldest_at
    from ops_aggregate_stages group by stage
  ), told as (
    select 'incomplete' as stage, uploads, null::bigint as aggregates, null::numeric as bytes,
      (select min(changed_at) from uploads where state = 'incomplete') as oldest_at
    from uploads_of where state = 'incomplete'
    union all
    select 'waiting', uploads, null, bytes, (select min(changed_at) from uploads where state = 'waiting')
    from uploads_of where state = 'waiting'
    union all
    select 'failed', uploads, null, null, null from uploads_of where state = 'failed'
    union all
    select stage, uploads, aggregates, bytes, case when stage <> 'active' then oldest_at end from aggregates_of
  )
  select p.stage, p.place::integer as place, coalesce(t.uploads, 0)::bigint as uploads,
    case when p.place between 3 and 10 then coalesce(t.aggregates, 0) end as aggregates,
    case when p.place between 2 and 10 then coalesce(t.bytes, 0)::bigint end as bytes, t.oldest_at,
    case when t.oldest_at is not null then greatest(extract(epoch from now() - t.oldest_at), 0)::float8 end as oldest_seconds
  from unnest(array['incomplete', 'waiting', 'filling', 'sealing', 'sealed', 'signed', 'sent', 'accepted', 'published', 'active', 'failed'])
    with ordinality as p (stage, place)
  left join told t on t.stage = p.stage;
comment on view ops_funnel is
  'Where everything is: a row for each stage, also where nothing is in it. oldest_at: when the oldest upload in it was accepted, null where nothing waits.';

create view ops_uploads as
  select u.id as upload_id, u.root, u.state::text as state, u.created_at, u.changed_at, u.dag_bytes, u.missing_count, u.missing_first, u.failure,
    (select coalesce(array_agg(o.name order by o.name), '{}') from upload_owners uo join owners o on o.id = uo.owner_id
      where uo.upload_id = u.id and uo.ended_at is null) as owners,
    best.aggregate_id, best.piece_cid, best.stage, coalesce(best.active, 0)::integer as active_replicas, coalesce(best.providers, '{}') as providers
  from uploads u
  left join lateral (
    select a.id as aggregate_id, a.piece_cid, d.active, d.providers,
      case when a.state = 'open' then 'filling' when a.state = 'sealing' then 'sealing' else coalesce(d.best::text, 'sealed') end as stage
    from placements p join aggregates a on a.id = p.aggregate_id
    left join lateral (
      select max(state) as best, count(*) filter (where state = 'active') as active,
        array_agg(provider_id order by provider_id) filter (where state = 'active') as providers
      from deals where aggregate_id = a.id and state in ('signed', 'sent', 'accepted', 'published', 'active')
    ) as d on true
    where p.upload_id = u.id
    order by d.best desc nulls last, a.id desc limit 1
  ) as best on true;
comment on view ops_uploads is
  'One upload each, with the aggregate that has come furthest: to be asked by root or upload_id, or for the newest.';

create view ops_pins as
  select p.upload_id, u.root, p.status::text as status, p.step::text as next_step, p.due_at, p.changed_at, p.failing_since,
    case when p.failing_since is not null then greatest(extract(epoch from now() - p.failing_since), 0)::float8 end as failing_seconds, p.error
  from pins p join uploads u on u.id = p.upload_id;
comment on view ops_pins is 'The pin of each upload in the IPFS Cluster, where one is configured, and why it fails.';

create view ops_aggregates as
  select a.id as aggregate_id, a.state::text as state,
    case when a.state = 'open' then 'filling' when a.state = 'sealing' then 'sealing' else coalesce(d.best::text, 'sealed') end as stage,
    a.piece_cid, a.piece_bytes, a.capacity_bytes, a.length_bytes, a.car_bytes, a.length_bytes::float8 / a.capacity_bytes as fill,
    a.entry_count as uploads, a.seal_reason, a.opened_at, a.oldest_accepted_at, a.sealed_at, a.released_at,
    extract(epoch from now() - a.oldest_accepted_at)::float8 as age_seconds,
    extract(epoch from a.sealed_at - a.oldest_accepted_at)::float8 as seal_seconds,
    coalesce(d.active, 0)::integer as replicas_have, coalesce(d.live, 0)::integer as replicas_live,
    (select replicas from policies order by version desc limit 1) as replicas_want, coalesce(d.providers, '{}') as providers
  from aggregates a left join (
    select aggregate_id, max(state) as best, count(*) as live, count(*) filter (where state = 'active') as active,
      array_agg(provider_id) as providers
    from deals where state in ('signed', 'sent', 'accepted', 'published', 'active') group by aggregate_id
  ) as d on d.aggregate_id = a.id;
comment on view ops_aggregates is 'One aggregate each: how full, how old, how well kept.';

create view ops_daily as
  with days as (
    select generate_series(date_trunc('day', now(), 'UTC') - interval '399 days', date_trunc('day', now(), 'UTC'), interval '1 day') as day
  ), sealed as (
    select date_trunc('day', sealed_at, 'UTC') as day, count(*) as sealed, sum(entry_count) as uploads, sum(car_bytes) as bytes
    from aggregates where sealed_at > now() - interval '401 days' group by 1
  ), published as (
    select date_trunc('day', published_at, 'UTC') as day, count(*) as items from aggregate_times
    where published_at > now() - interval '401 days' group by 1
  ), active as (
    select date_trunc('day', active_at, 'UTC') as day, count(*) as items from aggregate_times
    where active_at > now() - interval '401 days' group by 1
  )
  select (d.day at time zone 'UTC')::date as day, coalesce(s.sealed, 0) as sealed, coalesce(s.uploads, 0)::bigint as sealed_uploads,
    coalesce(s.bytes, 0)::bigint as sealed_bytes, coalesce(p.items, 0) as published, coalesce(a.items, 0) as active
  from days d left join sealed s on s.day = d.day left join published p on p.day = d.day left join active a on a.day = d.day;
comment on view ops_daily is 'Per day (UTC) of the last 400: what was sealed, and aggregates that were first published and active. Up to a minute behind.';

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

create view ops_time_percentiles as
  select (date_trunc('week', r.reached_at, 'UTC') at time zone 'UTC')::date as week, r.step, count(*) as aggregates,
    percentile_cont(0.5) within group (order by r.seconds) as p50_seconds,
    percentile_cont(0.95) within group (order by r.seconds) as p95_seconds,
    max(r.seconds) as max_seconds
  from ops_aggregate_times t cross join lateral (values
    ('aggregate', t.opened_at, t.seconds_to_aggregate), ('sealed', t.sealed_at, t.seconds_to_sealed),
    ('published', t.published_at, t.seconds_to_published), ('active', t.active_at, t.seconds_to_active)
  ) as r (step, reached_at, seconds)
  where r.reached_at is not null
  group by 1, r.step;
comment on view ops_time_percentiles is
  'How long aggregates took to each step, counted from the acceptance of their oldest upload, by the week (from Monday, UTC) in which they came there.';

create view ops_deals as
  select d.id as deal_id, d.aggregate_id, a.piece_cid, a.piece_bytes, d.provider_id, d.state::text as state, d.slot, d.generation, d.verified, d.offline,
    d.chain_deal_id, d.price_per_epoch, d.attempts, d.start_epoch, to_timestamp(n.genesis_seconds + d.start_epoch * 30) as start_at,
    d.end_epoch, to_timestamp(n.genesis_seconds + d.end_epoch * 30) as end_at, d.reason_code, d.reason_text, d.said_status, d.said_at,
    d.created_at, d.changed_at, extract(epoch from now() - d.changed_at)::float8 as state_seconds
  from deals d join aggregates a on a.id = d.aggregate_id left join network n on true;
comment on view ops_deals is 'One deal each, whatever became of it.';

create view ops_deals_by_state as
  select s.state::text as state, s.place::integer as place, coalesce(k.items, 0)::bigint as deals, coalesce(k.bytes, 0)::bigint as bytes, o.oldest_at,
    case when o.oldest_at is not null then greatest(extract(epoch from now() - o.oldest_at), 0)::float8 end as oldest_seconds
  from unnest(enum_range(null::deal_state)) with ordinality as s (state, place)
  left join (
    select state, sum(items) as items, sum(bytes) as bytes
    from (select state, items, bytes from kept_counts where what = 'deal'
      union all select state, items, bytes from count_changes where what = 'deal') as both_tables
    group by state
  ) as k on k.state = s.state::text
  left join lateral (
    select min(changed_at) as oldest_at from deals
    where state = s.state and state in ('signed', 'sent', 'accepted', 'published')
  ) as o on true;
comment on view ops_deals_by_state is
  'A row for each state of a deal, also where there is none; bytes are padded. oldest_at: which of those on their way has not changed for longest.';

create view ops_deals_by_provider as
  select d.provider_id, d.state::text as state, d.reason_code, count(*) as deals, sum(a.piece_bytes)::bigint as bytes,
    min(d.created_at) as first_at, max(d.created_at) as last_at, max(d.changed_at) as last_changed_at, max(d.reason_text) as example
  from deals d join aggregates a on a.id = d.aggregate_id
  group by d.provider_id, d.state, d.reason_code;
comment on view ops_deals_by_provider is 'How the deals of each provider stand or ended, and why.';

create view ops_providers as
  with standing as (
    select provider_id, count(*) filter (where d.state = 'active') as active_deals,
      sum(a.piece_bytes) filter (where d.state = 'active') as active_bytes,
      count(*) filter (where d.state in ('signed', 'sent', 'accepted')) as in_flight_deals,
      sum(a.piece_bytes) filter (where d.state in ('signed', 'sent', 'accepted')) as in_flight_bytes
    from deals d join aggregates a on a.id = d.aggregate_id where d.state in ('signed', 'sent', 'accepted', 'active') group by provider_id
  ), outcomes as (
    select d.provider_id, count(*) filter (where o.good) as successes, count(*) filter (where not o.good) as failures,
      count(*) filter (where d.state = 'rejected') as refusals,
      count(*) filter (where d.state in ('failed', 'missed', 'slashed', 'abandoned') and not o.good) as faults,
      max(d.changed_at) filter (where o.good is not null) as last_at,
      percentile_cont(0.5) within group (order by n.genesis_seconds + d.published_epoch * 30 - extract(epoch from d.created_at)::float8)
        filter (where d.published_epoch is not null) as published_p50,
      percentile_cont(0.5) within group (order by n.genesis_seconds + d.sector_start_epoch * 30 - extract(epoch from d.created_at)::float8)
        filter (where d.sector_start_epoch is not null) as active_p50
    from deals d left join network n on true
    -- As choosing counts: what ended by our own fault, or by terms that another proposal mends, says nothing of the provider.
    cross join lateral (select case
      when d.state in ('active', 'expired') then true
      when d.state in ('failed', 'missed', 'slashed') then false
      when d.state = 'abandoned' and d.reason_code <> 'called_off' then false
      when d.state = 'rejected' and d.reason_code not in ('duplicate_of_other', 'piece_cid_invalid', 'signature_invalid', 'wrong_provider',
        'label_too_long', 'piece_size_invalid', 'epochs_out_of_order', 'start_elapsed', 'start_too_soon', 'start_too_late', 'collateral_too_low',
        'collateral_too_high', 'client_unknown', 'client_funds_short', 'client_not_verified', 'datacap_short', 'transfer_invalid',
        'proposal_unreadable', 'libp2p_urls_unsupported') then false end as good) as o
    where d.created_at > now() - interval '180 days' and d.attempts > 0
    group by d.provider_id
  ), hour as (
    select provider_id, count(*) as proposals from deals where created_at > now() - interval '1 hour' group by provider_id
  ), counted as (
    select provider_id, successes, refusals, faults, last_at, published_p50, active_p50, (successes + failures)::float8 as total,
      successes / nullif(successes + failures, 0)::float8 as share
    from outcomes
  )
  select p.id as provider_id, p.state::text as state,
    case when p.state = 'enabled' and p.retry_at > now() then 'resting' else p.state::text end as standing,
    p.org, p.region, p.agent, p.transport, p.seen_at, p.retry_at, p.failures, p.resolve_error, p.ask_price, p.ask_verified_price, p.ask_at,
    coalesce(s.active_deals, 0) as active_deals, coalesce(s.active_bytes, 0)::bigint as active_bytes,
    coalesce(s.in_flight_deals, 0) as in_flight_deals, coalesce(s.in_flight_bytes, 0)::bigint as in_flight_bytes,
    coalesce(h.proposals, 0) as proposals_hour, coalesce(c.successes, 0) as successes, coalesce(c.refusals, 0) as refusals,
    coalesce(c.faults, 0) as faults, c.share as success_share,
    -- The lower bound of Wilson's interval (95 %), worth half after each 30 days without an outcome.
    coalesce(case when c.successes > 0 then greatest(0, (c.share + 3.8416 / (2 * c.total)
      - 1.96 * sqrt((c.share * (1 - c.share) + 3.8416 / (4 * c.total)) / c.total)) / (1 + 3.8416 / c.total))
      * 0.5 ^ (greatest(extract(epoch from now() - c.last_at), 0)::float8 / 2592000) end, 0)::float8 as score,
    c.last_at as last_outcome_at, c.published_p50 as published_p50_seconds, c.active_p50 as active_p50_seconds
  from providers p left join standing s on s.provider_id = p.id left join counted c on c.provider_id = p.id
  left join hour h on h.provider_id = p.id;
comment on view ops_providers is 'The scoreboard: what each provider holds and fetches, and how its proposals of the last 180 days went.';

create view ops_transfers as
  select d.id as deal_id, d.provider_id, d.aggregate_id, a.piece_cid, a.car_bytes,
    case when t.deal_id is null then 'not_begun' when t.moved_at > now() - interval '10 minutes' then 'moving' else 'still' end as state,
    coalesce(t.served_bytes, 0) as served_bytes,
    -- A bit for each 64 MiB.
    least(1, coalesce(bit_count(t.served), 0) / ceil(a.car_bytes / 67108864.0))::float8 as covered_share,
    t.begun_at, t.moved_at,
    (t.served_bytes / nullif(extract(epoch from t.moved_at - t.begun_at), 0))::float8 as bytes_per_second,
    extract(epoch from now() - coalesce(t.moved_at, d.changed_at))::float8 as since_seconds,
    greatest(d.changed_at, t.moved_at) + (select call_off_after_seconds from policies order by version desc limit 1) * interval '1 second' as call_off_at
  from deals d join aggregates a on a.id = d.aggregate_id left join transfers t on t.deal_id = d.id
  where d.state = 'accepted' and not d.offline and d.called_off_at is null;
comment on view ops_transfers is 'Pieces that providers of accepted deals fetch, or should.';

create view ops_expiring as
  select d.id as deal_id, d.aggregate_id, a.piece_cid, a.piece_bytes, d.provider_id, d.chain_deal_id, d.end_epoch,
    to_timestamp(n.genesis_seconds + d.end_epoch * 30) as end_at,
    ((d.end_epoch - e.epoch) / 2880.0)::float8 as days_left,
    d.end_epoch - e.epoch <= p.renew_before_epochs as renewal_due,
    exists (select from deals r where r.aggregate_id = d.aggregate_id and r.slot = d.slot and r.generation > d.generation
      and r.state in ('signed', 'sent', 'accepted', 'published', 'active')) as renewed
  from deals d join aggregates a on a.id = d.aggregate_id
  left join network n on true
  left join chain_freshness f on true
  cross join lateral (select coalesce(f.epoch, ((extract(epoch from now()) - n.genesis_seconds) / 30)::bigint) as epoch) as e
  cross join (select renew_before_epochs from policies order by version desc limit 1) as p
  where d.state = 'active';
comment on view ops_expiring is 'Active deals by when they end, and whether anything follows them.';

create view ops_runway as
  with spent as (
    select d.client, min(d.created_at) as since, sum(a.piece_bytes) filter (where d.verified) as datacap,
      sum(d.price_per_epoch * (d.end_epoch - d.start_epoch)) as balance
    from deals d join aggregates a on a.id = d.aggregate_id
    where d.created_at > now() - interval '28 days' and d.chain_deal_id is not null group by d.client
  ), reserved as (
    select c.client, r.datacap, r.balance
    from client_funds c cross join lateral (
      select sum(a.piece_bytes) filter (where d.verified) as datacap, sum(d.price_per_epoch * (d.end_epoch - d.start_epoch)) as balance
      from (
        select * from deals where client = c.client and settled_at is null and published_epoch is null
        union all select * from deals where client = c.client and settled_at is null and published_epoch >= c.epoch
      ) as d join aggregates a on a.id = d.aggregate_id
    ) as r
  ), told as (
    select w.what, c.client, c.at, c.epoch, w.free, coalesce(w.reserved, 0) as reserved, coalesce(w.spent, 0) as spent,
      coalesce(w.spent, 0) / case when exists (select from deals o where o.created_at <= now() - interval '28 days') then 28
        else greatest(1, extract(epoch from now() - s.since) / 86400) end as per_day
    from client_funds c left join spent s on s.client = c.client left join reserved r on r.client = c.client
    cross join lateral (values ('datacap', c.datacap_bytes, r.datacap, s.datacap), ('balance', c.free_escrow, r.balance, s.balance))
      as w (what, free, reserved, spent)
    where w.free is not null
  )
  select what, client, at, epoch, free, reserved, spent, round(per_day) as per_day,
    case when per_day > 0 then (greatest(free - reserved, 0) / per_day)::float8 end as days_left
  from told;
comment on view ops_runway is
  'How long DataCap (bytes) and market balance (attoFIL) last if as much is spent as by deals of the last 28 days that were published; a shorter time counts where the first deal is younger.';

create view ops_no_takers as
  with short as (
    select a.id from aggregates a cross join (select replicas from policies order by version desc limit 1) as p
    left join (
      select aggregate_id, count(*) as live from deals where state in ('signed', 'sent', 'accepted', 'published', 'active') group by aggregate_id
    ) as d on d.aggregate_id = a.id
    where a.state = 'sealed' and coalesce(d.live, 0) < p.replicas
  ), said as (
    select one ->> 'code' as code, one ->> 'provider' as provider, count(distinct s.id) as aggregates, max(c.at) as last_at
    from short s
    cross join lateral (select at, refused from choices where aggregate_id = s.id order by id desc limit 1) as c
    cross join lateral jsonb_array_elements(c.refused) as one
    group by 1, 2
  )
  select code, max(aggregates) as aggregates, count(*) as providers, max(last_at) as last_at from said group by code;
comment on view ops_no_takers is
  'Why aggregates that are short of deals find nobody, as it was last decided for each. aggregates: of the provider that stands in the way of most.';

create view ops_stuck as
  with unsettled as materialized (
    select aggregate_id, stage, uploads, bytes, oldest_accepted_at from ops_aggregate_stages where stage <> 'active'
  ), late as materialized (
    select u.*, b.since
    from unsettled u
    -- One that was active, and is not any more, is stuck since its last deal changed.
    cross join lateral (select case when (select active_at from aggregate_times where aggregate_id = u.aggregate_id) is null then u.oldest_accepted_at
      else (select max(changed_at) from deals where aggregate_id = u.aggregate_id) end as since) as b
    where b.since <= now() - interval '48 hours'
  ), found as (
    select 'upload'::text as kind, id::text as id, root as name, 'waiting'::text as stage, changed_at as since, 1 as uploads, run_bytes as bytes,
      null::text as provider_id, null::bigint as aggregate_id, 'no aggregate has taken it yet'::text as why
    from uploads where state = 'waiting' and changed_at <= now() - interval '48 hours'
    union all
    select 'upload', id::text, root, 'incomplete', changed_at, 1, null::bigint, null, null::bigint,
      format('%s blocks have not come, the first is %s', missing_count, missing_first)
    from uploads where state = 'incomplete' and changed_at <= now() - interval '48 hours'
    union all
    select 'aggregate', aggregate_id::text, null, stage, since, uploads, bytes, null, aggregate_id,
      case stage when 'filling' then 'it is not full' when 'sealing' then 'it is being hashed and sealed' end
    from late
    -- Nobody waits for what nobody owns.
    where (select true from placements p join upload_owners o on o.upload_id = p.upload_id and o.ended_at is null
      where p.aggregate_id = late.aggregate_id limit 1)
    union all
    select 'deal', d.id::text, a.piece_cid, d.state::text, d.changed_at, a.entry_count, a.piece_bytes, d.provider_id, d.aggregate_id,
      coalesce('the provider said: ' || d.said_status, d.reason_text, case d.state when 'signed' then 'it was not sent yet'
        when 'sent' then 'the provider has not answered' else 'the provider has not published it' end)
    from deals d join aggregates a on a.id = d.aggregate_id
    where d.state in ('signed', 'sent', 'accepted') and d.changed_at <= now() - interval '48 hours'
  )
  select kind, id, coalesce(name, (select coalesce(piece_cid, 'aggregate ' || a.id) from aggregates a where a.id = found.aggregate_id)) as name,
    stage, since, extract(epoch from now() - since)::float8 / 3600 as hours,
    case when since <= now() - interval '72 hours' then 72 when since <= now() - interval '60 hours' then 60 else 48 end as level,
    uploads::bigint as uploads, bytes, provider_id,
    -- Looked up here, so that whoever only counts does not pay for it.
    coalesce(why, case when stage = 'sealed' then coalesce(
        (select 'nobody to propose to: ' || string_agg(code || ' ' || providers, ', ' order by providers desc, code) from (
          select one ->> 'code' as code, count(*) as providers
          from (select refused from choices where aggregate_id = found.aggregate_id order by id desc limit 1) as c, jsonb_array_elements(c.refused) as one
          group by 1) as codes),
        (select 'last refusal: ' || coalesce(reason_text, reason_code) from deals where aggregate_id = found.aggregate_id and reason_code is not null
          order by changed_at desc limit 1),
        'nothing was proposed yet')
      else (select format('its deal with %s is %s', provider_id, state) || coalesce(': ' || said_status, '')
        from deals where aggregate_id = found.aggregate_id and state::text = found.stage order by changed_at desc limit 1) end) as why
  from found;
comment on view ops_stuck is
  'What is not where it should be after 48, 60 and 72 hours: uploads without an aggregate, aggregates without an active deal (but those that nobody owns), and deals that are not published.';

create view ops_chain as
  select f.as_of, f.epoch, c.height as finalized_epoch, extract(epoch from now() - f.as_of)::float8 as age_seconds, f.looked_at,
    f.degraded_since, f.degraded_reason, f.limited,
    (select count(*) from chain_differences where cleared_at is null) as open_differences
  from (values (true)) as one (row) left join chain_freshness f on f.singleton left join chain_cursors c on c.name = 'watch.finalized';
comment on view ops_chain is 'How fresh our view of the chain is.';

-- The tables of the job engine are its own, come later than these views, and change with it: they are looked up by name.
create or replace function ops_read_jobs() returns table (queue text, state text, jobs bigint, oldest_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog as $$
begin
  if to_regclass('pgboss.job') is null then return; end if;
  return query execute $job$
    select name::text, case when state = 'created' and start_after > now() then 'deferred' when state = 'created' then 'waiting' else state::text end,
      count(*), min(case when state = 'failed' then completed_on else coalesce(started_on, start_after) end)
    from pgboss.job where state in ('created', 'retry', 'active', 'failed') and name not like E'\\_\\_%' group by 1, 2 $job$;
end $$;
create or replace function ops_read_job_faults() returns table (job_id uuid, queue text, state text, tries integer, due_at timestamptz, subject jsonb, error text)
language plpgsql stable security definer set search_path = pg_catalog as $$
begin
  if to_regclass('pgboss.job') is null then return; end if;
  return query execute $job$
    select id, name::text, state::text, retry_count::integer, case when state = 'retry' then start_after end, data,
      coalesce(output ->> 'message', output ->> 'value', output::text)
    from pgboss.job where state in ('retry', 'failed') and name not like E'\\_\\_%' $job$;
end $$;

create view ops_jobs as
  select queue, state, jobs, oldest_at, case when oldest_at is not null then greatest(extract(epoch from now() - oldest_at), 0)::float8 end as oldest_seconds from ops_read_jobs();
comment on view ops_jobs is 'Jobs that are not done, by queue and state; oldest_at: due, taken where active, given up where failed.';
create view ops_job_faults as select * from ops_read_job_faults();
comment on view ops_job_faults is 'Jobs that are tried again, or were given up: how often they were tried, what they are about, and the last error.';

create view ops_webhooks as
  select w.id as webhook_id, w.owner, case when m.is_muted then 'muted' when w.failing_since is null then 'well' else 'failing' end as state, w.attempts, w.failing_since, w.delivered_at,
    w.next_attempt_at, case when m.is_muted then 0 else greatest(coalesce((select max(position) from events), 0) - w.cursor_position, 0) end as backlog_events,
    coalesce(l.letters, 0) as dead_letters, l.oldest_at as oldest_dead_at
  from webhooks w left join (
    select webhook_id, count(*) as letters, min(died_at) as oldest_at from webhook_dead_letters group by webhook_id
  ) as l on l.webhook_id = w.id
  -- A name without any token here is one of the configuration.
  cross join lateral (select count(*) > 0 and not bool_or(revoked_at is null and (expires_at is null or expires_at > now())) as is_muted
    from tokens where name = w.owner) as m;
comment on view ops_webhooks is 'How the calls of each webhook go (muted: its owner''s token was revoked or has expired, and it is told nothing); not where they go to, which may be a secret.';

create view ops_outbox as
  select newest.position as newest_position, newest.at as newest_at, held.events as held_back,
    case when held.oldest_at is not null then greatest(extract(epoch from now() - held.oldest_at), 0)::float8 end as held_seconds,
    hooks.webhooks, hooks.failing as webhooks_failing, hooks.backlog as backlog_events, hooks.letters as dead_letters,
    hooks.oldest_dead_at, h.as_of as history_as_of
  -- By the index: the order and the limit tell the planner that these are few.
  from (select count(*) as events, min(at) as oldest_at from (
      select at from events where xid >= pg_snapshot_xmin(pg_current_snapshot()) order by xid, position limit 10000) as young) as held
  cross join (select count(*) as webhooks, count(*) filter (where state = 'failing') as failing, coalesce(max(backlog_events), 0) as backlog,
      coalesce(sum(dead_letters), 0)::bigint as letters, min(oldest_dead_at) as oldest_dead_at from ops_webhooks) as hooks
  left join (select position, at from events order by position desc limit 1) as newest on true
  left join history_cursor h on true;
comment on view ops_outbox is 'Whether changes get out: the newest event, what an open transaction keeps back, and how far webhooks are behind.';

create view ops_store as
  select ((select coalesce(sum(bytes), 0) from (select bytes from kept_counts where what = 'part'
        union all select bytes from count_changes where what = 'part') as parts)
      + kept.tree_bytes + back.bytes)::bigint as stored_bytes,
    kept.aggregates as kept_aggregates, kept.bytes::bigint as kept_bytes, kept.released as released_aggregates, kept.released_bytes::bigint as released_bytes,
    hurt.ranges as damaged_ranges, hurt.bytes::bigint as damaged_bytes, hurt.oldest_at as oldest_damage_at,
    (select case when count(pass_ended_at) = 2 then min(pass_ended_at) end from scrub_progress) as scrub_pass_ended_at
  from (select count(*) filter (where released_at is null) as aggregates, count(released_at) as released,
      coalesce(sum(tree_bytes) filter (where released_at is null), 0) as tree_bytes,
      coalesce(sum(coalesce(car_bytes, length_bytes)) filter (where released_at is null), 0) as bytes,
      coalesce(sum(car_bytes) filter (where released_at is not null), 0) as released_bytes from aggregates) as kept
  cross join (select coalesce(sum(a.car_bytes), 0) as bytes from restorations r join aggregates a on a.id = r.aggregate_id where r.object_key is not null) as back
  cross join (select count(*) as ranges, coalesce(sum(length_bytes), 0) as bytes, min(found_at) as oldest_at from damage where cleared_at is null) as hurt;
comment on view ops_store is 'What lies in the object store by the rows, what was released, and what is damaged.';

create view ops_audit as select id as audit_id, at, actor, action, subject, reason from audit;
comment on view ops_audit is 'Who did what by hand, and why.';

do $$ begin
  if exists (select from pg_roles where rolname = 'lading_ops') then
    execute format('grant usage on schema %I to lading_ops', current_schema());
    execute (select format('grant select on %s to lading_ops', string_agg(format('%I', relname), ', ')) from pg_class
      where relnamespace = current_schema()::regnamespace and relkind = 'v' and relname like 'ops\_%');
  end if;
end $$;
