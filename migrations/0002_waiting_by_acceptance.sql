-- Uploads are stowed in the order of acceptance, which is when they became complete: their last change of state. One
-- that began early and is complete late has no earlier turn than those that were complete before it.
drop index uploads_waiting;
create index uploads_waiting on uploads (changed_at, id) where state = 'waiting';
