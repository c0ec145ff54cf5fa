-- What operators ask all the time, kept so that the answer costs as little with ten million uploads as with ten.

create table kept_counts (
  what text not null constraint kept_counts_what_known check (what in ('upload', 'deal', 'part')),
  state text not null,
  items bigint not null,
  bytes bigint not null,
  primary key (what, state)
);
comment on table kept_counts is
  'How many uploads there are by state, with the bytes of their runs, deals by state, with the padded bytes of their pieces, and stored parts (state ''''), with theirs; together with count_changes, which hold what came since. Written by the sweep; read by the views ops_funnel, ops_uploads_by_state, ops_deals_by_state and ops_store.';

create table count_changes (
  id bigint generated always as identity primary key,
  what text not null,
  state text not null,
  items bigint not null,
  bytes bigint not null
);
comment on table count_changes is
  'What each statement changed of kept_counts, in its own transaction, so that the two are exact together, and no transaction waits for another over a count. Written by triggers on uploads, deals and parts; added to kept_counts and deleted by the sweep.';

create function count_uploads() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into count_changes (what, state, items, bytes)
    select 'upload', state, count(*), coalesce(sum(run_bytes), 0) from new_rows group by state;
  else
    insert into count_changes (what, state, items, bytes)
    select 'upload', state, sum(items), sum(bytes) from (
      select state, 1 as items, coalesce(run_bytes, 0) as bytes from new_rows
      union all select state, -1, -coalesce(run_bytes, 0) from old_rows) as both_rows
    group by state having sum(items) <> 0 or sum(bytes) <> 0;
  end if;
  return null;
end $$;
create trigger uploads_counted after insert on uploads
  referencing new table as new_rows for each statement execute function count_uploads();
create trigger uploads_counted_anew after update on uploads
  referencing old table as old_rows new table as new_rows for each statement execute function count_uploads();

create function count_parts() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into count_changes (what, state, items, bytes)
    select 'part', '', count(*), sum(length_bytes) from new_rows having count(*) > 0;
  else
    insert into count_changes (what, state, items, bytes)
    select 'part', '', -count(*), -sum(length_bytes) from old_rows having count(*) > 0;
  end if;
  return null;
end $$;
create trigger parts_counted after insert on parts
  referencing new table as new_rows for each statement execute function count_parts();
create trigger parts_counted_off after delete on parts
  referencing old table as old_rows for each statement execute function count_parts();

create function count_deals() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into count_changes (what, state, items, bytes)
    select 'deal', d.state, count(*), coalesce(sum(a.piece_bytes), 0) from new_rows d join aggregates a on a.id = d.aggregate_id group by d.state;
  else
    insert into count_changes (what, state, items, bytes)
    select 'deal', d.state, sum(d.items), coalesce(sum(d.items * a.piece_bytes), 0) from (
      select state, aggregate_id, 1 as items from new_rows
      union all select state, aggregate_id, -1 from old_rows) as d join aggregates a on a.id = d.aggregate_id
    group by d.state having sum(d.items) <> 0 or sum(d.items * a.piece_bytes) <> 0;
  end if;
  return null;
end $$;
create trigger deals_counted after insert on deals
  referencing new table as new_rows for each statement execute function count_deals();
create trigger deals_counted_anew after update on deals
  referencing old table as old_rows new table as new_rows for each statement execute function count_deals();

insert into kept_counts (what, state, items, bytes)
select 'upload', state::text, count(*), coalesce(sum(run_bytes), 0) from uploads group by state
union all select 'deal', d.state::text, count(*), coalesce(sum(a.piece_bytes), 0) from deals d join aggregates a on a.id = d.aggregate_id group by d.state
union all select 'part', '', count(*), sum(length_bytes) from parts having count(*) > 0;

-- Where an aggregate's deals stand, without reading deals, whose rows are wide.
drop index deals_of_aggregate;
create index deals_of_aggregate on deals (aggregate_id, state);
create index deals_active on deals (aggregate_id) where state = 'active';
-- Which of those on their way has not moved for longest.
drop index deals_accepted;
create index deals_in_flight on deals (state, changed_at) where state in ('signed', 'sent', 'accepted', 'published');

create table client_funds (
  client text primary key,
  at timestamptz not null,
  epoch bigint not null constraint client_funds_epoch_not_negative check (epoch >= 0),
  free_escrow numeric(40, 0) not null,
  datacap_bytes numeric(40, 0)
);
comment on table client_funds is
  'What the chain showed of the money of each client of ours when it was last looked at: attoFIL in escrow at the market actor that nothing locks, and DataCap (null: it is no verified client). Written by the process that makes deals, every few minutes; read by the view ops_runway.';
