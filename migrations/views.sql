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
