import { valid, type Attempt } from './valid-rows.ts';

const AT = valid.uploads.created_at;

export const pinAttempts: Attempt[] = [
  ['pins_pkey', 'pins', {}, [['pins', {}]]],
  ['pins_upload_id_fkey', 'pins', { upload_id: 7 }],
  ['pins_wish_counted', 'pins', { wish: 0 }],
  ['pins_step_has_time', 'pins', { due_at: null }],
  ['pins_unpinned_or_wanted', 'pins', { step: 'unpin' }],
  ['pins_unpinned_or_wanted', 'pins', { step: null, due_at: null }],
  ['pins_unpinned_or_wanted', 'pins', { status: 'unpinned' }],
  ['pins_failure_told', 'pins', { failing_since: AT }],
  ['pins_failure_told', 'pins', { error: 'no peer' }],
  ['pins_failed_since', 'pins', { status: 'failed' }],
  ['pin_cluster_single_row', 'pin_cluster', { singleton: false }],
  ['pin_cluster_pkey', 'pin_cluster', {}],
  ['pin_cluster_fault_told', 'pin_cluster', { singleton: false, failing_since: AT }],
];

export const pullAttempts: Attempt[] = [
  ['pulls_pkey', 'pulls', { url: 'https://example.com/another.car' }, [['pulls', {}]]],
  ['pulls_owner_given', 'pulls', { owner: '' }],
  ['pulls_url_is_known', 'pulls', { url: 'ftp://example.com/some.car' }],
  ['pulls_wanted_root_given', 'pulls', { wanted_root: '' }],
  ['pulls_settled_at_its_end', 'pulls', { settled_at: AT }],
  ['pulls_settled_at_its_end', 'pulls', { state: 'cancelled' }],
  ['pulls_pulled_has_root', 'pulls', { state: 'pulled', settled_at: AT }],
  ['pulls_error_is_whole', 'pulls', { error_code: 'ORIGIN_SLOW' }],
  ['pulls_failed_says_why', 'pulls', { state: 'failed', settled_at: AT }],
  ['pulls_failed_says_why', 'pulls', { failing_since: AT }],
  ['pulls_failed_says_why', 'pulls', { error: 'slow', error_code: 'ORIGIN_SLOW' }],
  [
    'pulls_failing_while_waiting',
    'pulls',
    { state: 'failed', settled_at: AT, failing_since: AT, error: 'slow', error_code: 'ORIGIN_SLOW' },
  ],
  ['pulls_lease_is_whole', 'pulls', { leased_until: AT }],
  [
    'pulls_lease_while_waiting',
    'pulls',
    {
      state: 'cancelled',
      settled_at: AT,
      leased_until: AT,
      leased_by: '00000000-0000-4000-8000-0000000000cc',
    },
  ],
  ['pulls_counts_not_negative', 'pulls', { pulled_bytes: -1 }],
  ['pulls_counts_not_negative', 'pulls', { attempts: -1 }],
  ['pulls_counts_not_negative', 'pulls', { size_bytes: -1 }],
  ['pulls_waiting_unique', 'pulls', { id: '00000000-0000-4000-8000-0000000000cc' }, [['pulls', {}]]],
  ['pull_events_pull_id_fkey', 'pull_events', {}],
  ['pull_events_kind_known', 'pull_events', { kind: 'lost' }, [['pulls', {}]]],
  ['pull_events_bytes_not_negative', 'pull_events', { pulled_bytes: -1 }, [['pulls', {}]]],
  ['pull_events_error_is_whole', 'pull_events', { error: 'slow' }, [['pulls', {}]]],
];
