-- What operators do, and why they say they do it.

alter table policies
  add column reason text constraint policies_reason_given check (reason <> '');
comment on column policies.reason is 'Why, in the words of whoever made this version; null: nothing was said.';
