import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../src/db/connect.ts';
import { constraintOf } from '../../src/db/sqlstate.ts';
import { testDatabase } from '../support/database.ts';
import { figureAttempts } from './figure-attempts.ts';
import { pinAttempts, pullAttempts } from './way-in-attempts.ts';
import { restorationAttempts } from './restoration-attempts.ts';
import { pinRequestAttempts } from './pin-request-attempts.ts';
import { tokenAttempts } from './token-attempts.ts';
import {
  active,
  insert,
  insertFoundation,
  published,
  rejected,
  sealed,
  valid,
  type Attempt,
  type Row,
  type Table,
} from './valid-rows.ts';

const AT = valid.uploads.created_at;
const other = '00000000-0000-4000-8000-000000000002';
const uploadTwo: [Table, Row] = ['uploads', { root: 'bafybbb' }];
const providerTwo: [Table, Row] = ['providers', { id: 'f01001' }];
const incomplete = {
  state: 'incomplete',
  run_bytes: null,
  dag_bytes: null,
  block_count: null,
  missing_count: 1,
  missing_first: 'bafyccc',
};
const secondDeal = { id: other, proposal_cid: 'bafy2' };

/** What has to be refused, and by which law; `before` is inserted first, and has to be accepted. */
const attempts: Attempt[] = [
  ...figureAttempts,
  ['chain_freshness_single_row', 'chain_freshness', { singleton: false }],
  ['chain_freshness_pkey', 'chain_freshness', {}, [['chain_freshness', {}]]],
  ['chain_freshness_epoch_with_time', 'chain_freshness', { epoch: 5 }],
  ['chain_freshness_since_with_reason', 'chain_freshness', { degraded_since: AT }],
  ['chain_differences_kind_known', 'chain_differences', { kind: 'odd' }, [['deals', {}]]],
  [
    'chain_differences_open',
    'chain_differences',
    {},
    [
      ['deals', {}],
      ['chain_differences', {}],
    ],
  ],
  ['network_single_row', 'network', { singleton: false }],
  ['network_pkey', 'network', { name: 'mainnet' }, [['network', {}]]],
  ['network_known', 'network', { name: 'testnet' }],
  ['owners_name_given', 'owners', { name: '' }],
  ['owners_name_unique', 'owners', {}, [['owners', {}]]],
  ['uploads_root_unique', 'uploads', {}],
  ['uploads_root_is_base32_v1', 'uploads', { root: 'QmaaaV0' }],
  ['uploads_root_is_base32_v1', 'uploads', { root: 'bafyAAA' }],
  [
    'uploads_run_known_once_complete',
    'uploads',
    { root: 'bafybbb', run_bytes: null, dag_bytes: null, block_count: null },
  ],
  ['uploads_run_known_once_complete', 'uploads', { root: 'bafybbb', dag_bytes: null }],
  ['uploads_run_known_once_complete', 'uploads', { root: 'bafybbb', block_count: null }],
  ['uploads_run_known_once_complete', 'uploads', { root: 'bafybbb', run_bytes: 0 }],
  [
    'uploads_run_known_once_complete',
    'uploads',
    { root: 'bafybbb', ...incomplete, run_bytes: 1, dag_bytes: 1, block_count: 1 },
  ],
  [
    'uploads_missing_named_while_incomplete',
    'uploads',
    { root: 'bafybbb', ...incomplete, missing_count: null, missing_first: null },
  ],
  ['uploads_missing_named_while_incomplete', 'uploads', { root: 'bafybbb', ...incomplete, missing_first: null }],
  ['uploads_missing_named_while_incomplete', 'uploads', { root: 'bafybbb', ...incomplete, missing_count: 0 }],
  [
    'uploads_missing_named_while_incomplete',
    'uploads',
    { root: 'bafybbb', missing_count: 1, missing_first: 'bafyccc' },
  ],
  ['uploads_failure_named', 'uploads', { root: 'bafybbb', ...incomplete, state: 'failed' }],
  ['uploads_failure_named', 'uploads', { root: 'bafybbb', failure: 'no reason to' }],
  ['parts_offset_not_negative', 'parts', { object_offset: -1 }],
  ['parts_not_empty', 'parts', { length_bytes: 0 }],
  ['parts_have_blocks', 'parts', { block_count: 0 }],
  ['parts_run_seq_not_negative', 'parts', { run_seq: -1 }],
  ['parts_object_unique', 'parts', { run_seq: 1 }, [['parts', {}]]],
  ['part_blocks_size_not_negative', 'part_blocks', { block_bytes: -1 }],
  ['parts_run_seq_unique', 'parts', { object_key: 'runs/2' }, [['parts', {}]]],
  ['aggregates_within_capacity', 'aggregates', { length_bytes: 58 }],
  ['aggregates_within_capacity', 'aggregates', { length_bytes: 1_001 }],
  ['aggregates_entries_counted', 'aggregates', { entry_count: -1, oldest_accepted_at: AT }],
  ['aggregates_entries_counted', 'aggregates', { entry_count: 1 }],
  ['aggregates_entries_counted', 'aggregates', { oldest_accepted_at: AT }],
  ['aggregates_reason_once_closed', 'aggregates', { seal_reason: 'full' }],
  ['aggregates_reason_once_closed', 'aggregates', { state: 'sealing', entry_count: 1, oldest_accepted_at: AT }],
  ['aggregates_reason_known', 'aggregates', { ...sealed, seal_reason: 'because' }],
  ['aggregates_closed_not_empty', 'aggregates', { state: 'sealing', seal_reason: 'operator' }],
  ['aggregates_sealed_is_whole', 'aggregates', { ...sealed, state: 'sealing' }],
  [
    'aggregates_sealed_is_whole',
    'aggregates',
    { state: 'sealed', seal_reason: 'full', entry_count: 1, oldest_accepted_at: AT },
  ],
  ...['tree_key', 'tree_bytes', 'batch_root', 'car_bytes', 'piece_cid', 'piece_bytes', 'sealed_at'].map(
    (column): Attempt => ['aggregates_sealed_is_whole', 'aggregates', { ...sealed, [column]: null }],
  ),
  ['aggregates_car_is_its_parts', 'aggregates', { ...sealed, tree_bytes: 26 }],
  ['aggregates_piece_holds_car', 'aggregates', { ...sealed, tree_bytes: 28, car_bytes: 128 }],
  ['aggregates_piece_holds_car', 'aggregates', { ...sealed, piece_bytes: 256 }],
  ['aggregates_piece_holds_car', 'aggregates', { ...sealed, piece_bytes: 192 }],
  ['aggregates_piece_holds_car', 'aggregates', { ...sealed, piece_bytes: 64 }],
  ['aggregates_piece_unique', 'aggregates', sealed, [['aggregates', sealed]]],
  ['placements_not_empty', 'placements', { length_bytes: 0 }],
  ['placements_offset_after_header', 'placements', { offset_bytes: 58 }],
  ['placements_pkey', 'placements', { upload_id: 2, offset_bytes: 159 }, [uploadTwo, ['placements', {}]]],
  ['placements_offset_unique', 'placements', { seq: 1, upload_id: 2 }, [uploadTwo, ['placements', {}]]],
  ['placements_upload_once', 'placements', { seq: 1, offset_bytes: 159 }, [['placements', {}]]],
  [
    'placements_once',
    'placements',
    { aggregate_id: 2 },
    [
      ['aggregates', {}],
      ['placements', {}],
    ],
  ],
  [
    'placements_once',
    'placements',
    { aggregate_id: 2, cut: 0 },
    [
      ['aggregates', {}],
      ['cuts', {}],
      ['placements', { cut: 0 }],
    ],
  ],
  ['cuts_number_not_negative', 'cuts', { cut: -1 }],
  ['cuts_not_empty', 'cuts', { run_bytes: 0 }],
  ['cuts_have_blocks', 'cuts', { block_count: 0 }],
  ['damage_offset_not_negative', 'damage', { object_offset: -1 }],
  ['damage_not_empty', 'damage', { length_bytes: 0 }],
  ['damage_told', 'damage', { what: '' }],
  ['damage_of_one_thing', 'damage', { aggregate_id: 1 }],
  ['damage_open', 'damage', {}, [['damage', {}]]],
  ...pinAttempts,
  ['scrub_progress_kind_known', 'scrub_progress', { kind: 'odd' }],
  ['cut_extents_seq_not_negative', 'cut_extents', { seq: -1 }, [['cuts', {}]]],
  ['cut_extents_offset_not_negative', 'cut_extents', { object_offset: -1 }, [['cuts', {}]]],
  ['cut_extents_not_empty', 'cut_extents', { length_bytes: 0 }, [['cuts', {}]]],
  ['aggregates_filler_not_negative', 'aggregates', { filler_bytes: -1 }],
  ['aggregates_within_capacity', 'aggregates', { filler_bytes: 942 }],
  ['aggregates_released_has_proofs', 'aggregates', { ...sealed, released_at: AT }],
  ['aggregates_released_has_proofs', 'aggregates', { released_at: AT, proofs_key: 'proofs/1' }],
  ['chunks_pkey', 'chunks', {}, [['chunks', {}]]],
  ['chunks_index_not_negative', 'chunks', { index: -1 }],
  ['chunks_root_is_node', 'chunks', { root: Buffer.alloc(31) }],
  ['providers_id_is_f0', 'providers', { id: 't01000' }],
  ['providers_id_is_f0', 'providers', { id: 'f0x' }],
  ['providers_transport_known', 'providers', { id: 'f01001', transport: 'pigeon' }],
  ['providers_ask_is_whole', 'providers', { id: 'f01001', ask_price: '1' }],
  ['policies_org_cap_sane', 'policies', { max_per_org: 0 }],
  ['policies_region_cap_sane', 'policies', { max_per_region: 0 }],
  ['policies_in_flight_sane', 'policies', { max_in_flight_bytes: 0 }],
  ['policies_rate_sane', 'policies', { max_proposals_per_hour: 0 }],
  ['policies_renewal_sane', 'policies', { renew_before_epochs: -1 }],
  ['policies_call_off_sane', 'policies', { call_off_after_seconds: 59 }],
  ['policies_reads_sane', 'policies', { reads_per_second: 0 }],
  ['transfers_bytes_not_negative', 'transfers', { served_bytes: -1 }, [['deals', {}]]],
  ['transfers_curve_sane', 'transfers', { curve_bytes: '{1}' }, [['deals', {}]]],
  ['audit_actor_given', 'audit', { actor: '' }],
  ...restorationAttempts,
  ...tokenAttempts,
  ...pinRequestAttempts,
  ...pullAttempts,
  ['webhooks_pkey', 'webhooks', {}, [['webhooks', {}]]],
  ['webhooks_owner_given', 'webhooks', { owner: '' }],
  ['webhooks_url_is_http', 'webhooks', { url: 'ftp://example.com/' }],
  ['webhooks_cursor_not_negative', 'webhooks', { cursor_index: -1 }],
  ['webhooks_attempts_while_failing', 'webhooks', { attempts: 1 }],
  ['webhooks_attempts_while_failing', 'webhooks', { attempts: 1, failing_since: AT, failing_to: '1-0' }],
  ['webhooks_lease_is_whole', 'webhooks', { leased_until: AT }],
  ['webhook_dead_letters_webhook_id_fkey', 'webhook_dead_letters', {}],
  ['webhook_dead_letters_not_empty', 'webhook_dead_letters', { changes: 0 }, [['webhooks', {}]]],
  ['webhook_dead_letters_were_tried', 'webhook_dead_letters', { attempts: 0 }, [['webhooks', {}]]],
  ['webhook_dead_letters_in_order', 'webhook_dead_letters', { to_position: 1 }, [['webhooks', {}]]],
  ['policies_reason_given', 'policies', { reason: '' }],
  ['policies_replicas_sane', 'policies', { replicas: 0 }],
  ['policies_replicas_sane', 'policies', { replicas: 101 }],
  ['policies_prices_not_negative', 'policies', { max_price: '-1' }],
  ['policies_prices_not_negative', 'policies', { max_verified_price: '-1' }],
  ['policies_duration_in_actor_limits', 'policies', { duration_epochs: 518_399 }],
  ['policies_duration_in_actor_limits', 'policies', { duration_epochs: 3_680_641 }],
  ['policies_start_delay_sane', 'policies', { start_delay_epochs: 0 }],
  ['policies_start_delay_sane', 'policies', { start_delay_epochs: 40_321 }],
  ['deals_slot_not_negative', 'deals', { slot: -1 }],
  ['deals_generation_not_negative', 'deals', { generation: -1 }],
  ['deals_proposal_unique', 'deals', { id: other, slot: 1, provider_id: 'f01001' }, [providerTwo, ['deals', {}]]],
  ['deals_epochs_in_order', 'deals', { start_epoch: -1 }],
  ['deals_epochs_in_order', 'deals', { end_epoch: 100 }],
  ['deals_money_not_negative', 'deals', { price_per_epoch: '-1' }],
  ['deals_money_not_negative', 'deals', { provider_collateral: '-1' }],
  ['deals_signed_is_unsent', 'deals', { attempts: 1 }],
  ['deals_signed_is_unsent', 'deals', { maybe_received: true }],
  ['deals_on_chain_has_id', 'deals', { ...published, chain_deal_id: null }],
  ['deals_on_chain_has_id', 'deals', { ...active, chain_deal_id: null }],
  ['deals_active_has_sector', 'deals', { ...active, sector_start_epoch: null }],
  ['deals_active_has_sector', 'deals', { ...active, sector_start_epoch: -1 }],
  ['deals_active_has_sector', 'deals', { ...active, ...rejected, state: 'slashed', sector_start_epoch: null }],
  ['deals_live_is_unsettled', 'deals', { ...published, settled_at: AT }],
  ['deals_dead_is_settled', 'deals', { ...rejected, settled_at: null }],
  ['deals_end_has_reason', 'deals', { ...rejected, reason_code: null }],
  ['deals_end_has_reason', 'deals', { state: 'failed', attempts: 1 }],
  ['deals_one_live_per_slot', 'deals', { ...secondDeal, provider_id: 'f01001' }, [providerTwo, ['deals', {}]]],
  ['deals_one_unsettled_per_provider', 'deals', { ...secondDeal, slot: 1 }, [['deals', {}]]],
  [
    'deals_one_unsettled_per_provider',
    'deals',
    { ...secondDeal, slot: 1 },
    [['deals', { state: 'failed', attempts: 1, reason_code: 'said so' }]],
  ],
  [
    'deals_chain_id_unique',
    'deals',
    { ...secondDeal, ...published, slot: 1, provider_id: 'f01001' },
    [providerTwo, ['deals', { ...published }]],
  ],
  ['events_one_subject', 'events', { aggregate_id: 1 }],
  ['events_one_subject', 'events', { upload_id: null }],
];

/** What must not be refused: the law's other side. */
const accepted: [string, Table, Row, [Table, Row][]?][] = [
  ['one network', 'network', {}],
  ['a CAR that fills its piece to the last byte', 'aggregates', sealed],
  [
    'a CAR of one byte more than half a piece',
    'aggregates',
    { ...sealed, tree_bytes: 28, car_bytes: 128, piece_bytes: 256 },
  ],
  ['an upload that lacks blocks', 'uploads', { root: 'bafybbb', ...incomplete }],
  ['an upload that failed', 'uploads', { root: 'bafybbb', ...incomplete, state: 'failed', failure: 'never completed' }],
  [
    'a part that is in no run, beside another',
    'parts',
    { object_key: 'runs/2', run_seq: null },
    [['parts', { run_seq: null }]],
  ],
  [
    'a run that is placed again to top up an aggregate',
    'placements',
    { aggregate_id: 2, topped_up: true },
    [
      ['aggregates', {}],
      ['placements', {}],
    ],
  ],
  ['a CAR with filler', 'aggregates', { ...sealed, filler_bytes: 7, tree_bytes: 20 }],
  ['an aggregate whose bytes are released', 'aggregates', { ...sealed, released_at: AT, proofs_key: 'proofs/1' }],
  ['a deal that is active', 'deals', active],
  ['a deal in a slot whose first one is dead', 'deals', secondDeal, [['deals', rejected]]],
  [
    'a second deal with another provider in another slot',
    'deals',
    { ...secondDeal, slot: 1, provider_id: 'f01001' },
    [providerTwo, ['deals', {}]],
  ],
  ['the next generation with the same provider', 'deals', { ...secondDeal, generation: 1 }, [['deals', active]]],
];

let db: Database;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db[Symbol.asyncDispose]());

/** Runs in a transaction that is rolled back, so that every attempt starts from the same rows. */
async function rolledBack(act: (client: pg.ClientBase) => Promise<void>): Promise<void> {
  const client = await db.pool.connect();
  try {
    await client.query('begin');
    await insertFoundation(client);
    await act(client);
  } finally {
    await client.query('rollback');
    client.release();
  }
}

async function refusalOf(act: Promise<unknown>): Promise<string | undefined> {
  return act.then(
    () => 'nothing',
    (error: unknown) => constraintOf(error) ?? String(error),
  );
}

describe('the law of the database', () => {
  it.each(attempts.map((attempt, at) => [`${attempt[0]} (${at})`, attempt] as const))(
    '%s',
    async (_, [constraint, table, changes, before = []]) => {
      await rolledBack(async (client) => {
        for (const [first, row] of before) await insert(client, first, row);
        expect(await refusalOf(insert(client, table, changes))).toBe(constraint);
      });
    },
  );

  it.each(accepted)('lets %s be', async (_, table, changes, before = []) => {
    await rolledBack(async (client) => {
      for (const [first, row] of before) await insert(client, first, row);
      expect(await refusalOf(insert(client, table, changes))).toBe('nothing');
    });
  });

  it('was tried in every place that has a name of its own', async () => {
    const { rows } = await db.pool.query<{ name: string }>(`
      select conname as name from pg_constraint k join pg_namespace n on n.oid = k.connamespace
        where n.nspname = 'public' and k.contype in ('c', 'u')
      union select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'public' and i.indisunique and not i.indisprimary order by name`);
    const tried = new Set(attempts.map(([constraint]) => constraint));
    expect(rows.map(({ name }) => name).filter((name) => !tried.has(name))).toEqual([]);
    expect(rows.length).toBeGreaterThan(40);
  });
});

describe('a change of state', () => {
  const dealEvent = { upload_id: null, deal_id: valid.deals.id };

  async function committing(act: (client: pg.ClientBase) => Promise<void>): Promise<string | undefined> {
    await using own = await testDatabase();
    const client = await own.pool.connect();
    try {
      await client.query('begin');
      await insertFoundation(client);
      await insert(client, 'events', { upload_id: null, aggregate_id: 1, to_state: 'open' });
      await act(client);
      return await refusalOf(client.query('commit'));
    } finally {
      client.release();
    }
  }

  it('commits with an event of the same transaction that says so', async () => {
    const refusal = await committing(async (client) => {
      await insert(client, 'deals');
      await insert(client, 'events', { ...dealEvent, to_state: 'signed' });
    });
    expect(refusal).toBe('nothing');
  });

  it.each([
    ['a deal without an event', 'deals_change_has_event', [['deals', {}]]],
    [
      'a deal with the event of another state',
      'deals_change_has_event',
      [
        ['deals', {}],
        ['events', { ...dealEvent, to_state: 'sent' }],
      ],
    ],
    ['an aggregate without an event', 'aggregates_change_has_event', [['aggregates', sealed]]],
  ] as [string, string, [Table, Row][]][])('does not commit: %s', async (_, constraint, rows) => {
    expect(
      await committing(async (client) => {
        for (const [table, row] of rows) await insert(client, table, row);
      }),
    ).toBe(constraint);
  });

  it('does not take an event of an earlier transaction', async () => {
    await using own = await testDatabase();
    const client = await own.pool.connect();
    try {
      await client.query('begin');
      await insertFoundation(client);
      await insert(client, 'events', { upload_id: null, aggregate_id: 1, to_state: 'open' });
      await insert(client, 'deals');
      await insert(client, 'events', { ...dealEvent, to_state: 'signed' });
      await client.query('commit');
      await client.query(
        `update deals set state = 'sent', attempts = 1; insert into events (at, deal_id, to_state) select now(), id, 'sent' from deals`,
      );
      expect(await refusalOf(client.query(`update deals set state = 'signed', attempts = 0`))).toBe(
        'deals_change_has_event',
      );
    } finally {
      client.release();
    }
  });
});
