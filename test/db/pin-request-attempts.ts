import type { Attempt } from './valid-rows.ts';

const other = '00000000-0000-4000-8000-0000000000de';

export const pinRequestAttempts: Attempt[] = [
  [
    'pin_requests_pkey',
    'pin_requests',
    {},
    [
      ['owners', {}],
      ['pin_requests', {}],
    ],
  ],
  ['pin_requests_owner_id_fkey', 'pin_requests', { owner_id: 999 }],
  ['pin_requests_root_is_base32_v1', 'pin_requests', { root: 'QmaaaV0' }],
  ['pin_requests_cid_given', 'pin_requests', { cid: '' }],
  ['pin_requests_name_short', 'pin_requests', { name: 'x'.repeat(256) }],
  ['pin_requests_meta_is_object', 'pin_requests', { meta: '[]' }],
  ['pin_requests_attempts_not_negative', 'pin_requests', { attempts: -1 }],
  ['pin_requests_created_in_milliseconds', 'pin_requests', { created_at: '2026-01-02T03:04:05.000001Z' }],
  [
    'pin_requests_place_unique',
    'pin_requests',
    { id: other },
    [
      ['owners', {}],
      ['pin_requests', {}],
    ],
  ],
  ['pin_requests_due_while_open', 'pin_requests', { next_attempt_at: null }],
  ['pin_requests_due_while_open', 'pin_requests', { state: 'pinned' }],
  ['pin_request_events_request_id_fkey', 'pin_request_events', {}],
];
