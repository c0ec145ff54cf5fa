-- A proposal that was called off is over, and yet counts against balance and DataCap until nobody can publish it.
alter table deals
  drop constraint deals_dead_is_settled,
  add constraint deals_dead_is_settled check (
    settled_at is not null
    or state not in ('rejected', 'abandoned', 'missed', 'expired', 'slashed')
    or (state = 'abandoned' and called_off_at is not null)
  );

-- What was accepted before providers were asked for the status of their deals is asked, too.
update deals set next_status_at = changed_at where state = 'accepted';

-- What stands still is looked for each minute, and what waits to be imported by hand is listed, among all deals ever made.
create index deals_accepted on deals (changed_at) where state = 'accepted';
