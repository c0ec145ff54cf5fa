import type { Attempt } from './valid-rows.ts';

/** Of the tables that only keep figures. */
export const figureAttempts: Attempt[] = [
  ['history_cursor_single_row', 'history_cursor', { singleton: false }],
  ['history_cursor_pkey', 'history_cursor', {}],
  ['aggregate_times_steps_follow', 'aggregate_times', { published_at: null }],
  ['aggregate_times_steps_follow', 'aggregate_times', { accepted_at: null }],
  ['aggregate_times_steps_follow', 'aggregate_times', { signed_at: null }],
  ['aggregate_times_pkey', 'aggregate_times', {}, [['aggregate_times', {}]]],
  ['aggregate_times_aggregate_id_fkey', 'aggregate_times', { aggregate_id: 7 }],
  ['kept_counts_what_known', 'kept_counts', { what: 'token' }],
  ['kept_counts_pkey', 'kept_counts', {}, [['kept_counts', {}]]],
  ['client_funds_epoch_not_negative', 'client_funds', { epoch: -1 }],
  ['client_funds_pkey', 'client_funds', {}, [['client_funds', {}]]],
];
