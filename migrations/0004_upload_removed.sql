-- An upload that nobody owns any more and that no aggregate holds is removed: its row stays, its bytes go.
-- A file of its own: PostgreSQL takes a new value of an enum only after the transaction that adds it.
alter type upload_state add value 'removed';
