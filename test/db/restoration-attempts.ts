import type { Attempt } from './valid-rows.ts';

export const restorationAttempts: Attempt[] = [
  ['restorations_pkey', 'restorations', { object_key: 'cars/1-b' }, [['restorations', {}]]],
  ['restorations_aggregate_id_fkey', 'restorations', { aggregate_id: 7 }],
  ['restorations_provider_id_fkey', 'restorations', { provider_id: 'f09' }],
  ['restorations_come_from_somebody', 'restorations', { provider_id: null }],
  ['restorations_come_from_somebody', 'restorations', { object_key: null }],
  ['restorations_failures_counted', 'restorations', { failures: -1 }],
  [
    'restorations_object_once',
    'restorations',
    { aggregate_id: 2 },
    [
      ['aggregates', {}],
      ['restorations', {}],
    ],
  ],
];
