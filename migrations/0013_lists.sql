-- Lists are read newest first, by page, whatever the filter: each filter that may leave few of many rows has an index
-- in that order. States that few uploads are in have theirs already (uploads_waiting and others).
create index uploads_by_age on uploads (created_at, id);
create index uploads_removed on uploads (created_at, id) where state = 'removed';
create index upload_owners_by_age on upload_owners (owner_id, since, upload_id);
create index deals_of_provider on deals (provider_id, created_at, id);
create index deals_in_state on deals (state, created_at, id);
