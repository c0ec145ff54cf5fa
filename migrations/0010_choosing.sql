-- Choosing counts the proposals of the last hour and the outcomes of the last half year; lists go by age.

create index deals_by_age on deals (created_at, id);
-- What is reserved is summed while other signers wait: only those that the balance does not show yet, not all that run.
create index deals_reserving on deals (client, published_epoch) where settled_at is null;
