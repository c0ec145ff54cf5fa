-- How fast the daily reading of all live deals may go is policy: a near node of one's own bears more than a gateway.

alter table policies add column reads_per_second integer not null default 25;
alter table policies add constraint policies_reads_sane check (reads_per_second between 1 and 10000);
comment on column policies.reads_per_second is
  'Live deals read by id from the chain each second, at most, in the daily comparison. A million deals a day are 11.6.';
