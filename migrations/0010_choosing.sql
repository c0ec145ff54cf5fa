-- Choosing counts the proposals of the last hour and the outcomes of the last half year; lists go by age.

create index deals_by_age on deals (created_at, id);
