import type pg from 'pg';

export type Row = Record<string, unknown>;

const AT = new Date('2026-01-02T03:04:05Z');

/** One valid row of each table; a test spoils it in one place. References are to rows that `insertFoundation` made. */
export const valid = {
  network: { name: 'devnet' },
  owners: { name: 'somebody' },
  uploads: {
    root: 'bafyaaa',
    state: 'waiting',
    run_bytes: 100,
    dag_bytes: 90,
    block_count: 1,
    created_at: AT,
    changed_at: AT,
  },
  parts: {
    upload_id: 1,
    object_key: 'runs/1',
    object_offset: 0,
    length_bytes: 100,
    block_count: 1,
    run_seq: 0,
    created_at: AT,
  },
  part_blocks: { upload_id: 1, cid: Buffer.alloc(36), block_bytes: 1, links: [], reached: false },
  wanted_blocks: { upload_id: 1, cid: Buffer.alloc(36) },
  aggregates: { state: 'open', capacity_bytes: 1_000, length_bytes: 59, entry_count: 0, opened_at: AT, changed_at: AT },
  placements: { aggregate_id: 1, seq: 0, upload_id: 1, offset_bytes: 59, length_bytes: 100 },
  chunks: { aggregate_id: 1, index: 0, root: Buffer.alloc(32) },
  cuts: { upload_id: 1, cut: 0, run_bytes: 100, block_count: 1 },
  cut_extents: { upload_id: 1, cut: 0, seq: 0, object_key: 'runs/1', object_offset: 0, length_bytes: 100 },
  providers: { id: 'f01000', state: 'enabled', address_source: 'manual', added_at: AT },
  policies: {
    replicas: 3,
    verified: false,
    max_price: '50000000000',
    max_verified_price: '0',
    duration_epochs: 518_400,
    start_delay_epochs: 2_880,
    fast_retrieval: true,
    created_at: AT,
    created_by: 'test',
  },
  transfers: {
    deal_id: '00000000-0000-4000-8000-000000000001',
    served: Buffer.alloc(1),
    served_bytes: 1,
    begun_at: AT,
    moved_at: AT,
  },
  tokens: { name: 'service', role: 'upload', digest: Buffer.alloc(32), created_at: AT, created_by: 'somebody' },
  pin_requests: {
    id: '00000000-0000-4000-8000-0000000000dd',
    owner_id: 1,
    root: 'bafyaaa',
    cid: 'bafyaaa',
    origins: [],
    state: 'queued',
    gives_ownership: true,
    created_at: AT,
    changed_at: AT,
  },
  pin_request_events: { request_id: '00000000-0000-4000-8000-0000000000dd', at: AT, to_state: 'queued' },
  audit: { at: AT, actor: 'somebody', action: 'provider.pause', subject: 'f01000' },
  deals: {
    id: '00000000-0000-4000-8000-000000000001',
    aggregate_id: 1,
    slot: 0,
    generation: 0,
    provider_id: 'f01000',
    policy_version: 1,
    state: 'signed',
    client: 'f1abc',
    signed_proposal: Buffer.from([1]),
    proposal_cid: 'bafy1',
    verified: false,
    start_epoch: 100,
    end_epoch: 200,
    price_per_epoch: '0',
    provider_collateral: '0',
    created_at: AT,
    changed_at: AT,
  },
  events: { at: AT, upload_id: 1, to_state: 'waiting' },
  damage: {
    object_key: 'runs/1',
    object_offset: 0,
    length_bytes: 100,
    upload_id: 1,
    what: 'HASH_MISMATCH',
    found_at: AT,
  },
  pins: { upload_id: 1, status: 'queued', step: 'give', due_at: AT, changed_at: AT },
  pin_cluster: { singleton: true },
  scrub_progress: { kind: 'parts', after_id: 0, read_bytes: 0, pass_began_at: AT },
  chain_freshness: { looked_at: AT },
  kept_counts: { what: 'upload', state: 'odd', items: 1, bytes: 1 },
  client_funds: { client: 'f1client', at: AT, epoch: 1, free_escrow: 1 },
  history_cursor: { xid: '3', position: 1 },
  aggregate_times: { aggregate_id: 1, signed_at: AT, accepted_at: AT, published_at: AT, active_at: AT },
  restorations: { aggregate_id: 1, object_key: 'cars/1-a', provider_id: 'f01000', next_at: AT, changed_at: AT },
  chain_differences: {
    deal_id: '00000000-0000-4000-8000-000000000001',
    kind: 'absent',
    detail: 'gone',
    epoch: 100,
    tipset: ['bafyt'],
    found_at: AT,
  },
  pulls: {
    id: '00000000-0000-4000-8000-0000000000bb',
    owner: 'service',
    url: 'https://example.com/some.car',
    state: 'waiting',
  },
  pull_events: { pull_id: '00000000-0000-4000-8000-0000000000bb', kind: 'asked' },
  webhooks: {
    id: '00000000-0000-4000-8000-0000000000aa',
    owner: 'somebody',
    url: 'https://example.com/changes',
    filter: {},
    created_at: AT,
    cursor_xid: '3',
    cursor_position: 0,
    cursor_index: 0,
  },
  webhook_dead_letters: {
    webhook_id: '00000000-0000-4000-8000-0000000000aa',
    from_xid: '3',
    from_position: 1,
    from_index: 0,
    to_xid: '3',
    to_position: 2,
    to_index: 0,
    first_change: '1-0',
    changes: 1,
    attempts: 1,
    error: 'it answered 500',
    failing_since: AT,
    died_at: AT,
  },
} satisfies Record<string, Row>;
export type Table = keyof typeof valid;

/** What has to be refused, and by which law; `before` is inserted first. */
export type Attempt = [constraint: string, table: Table, changes: Row, before?: [Table, Row][]];

/** An aggregate that is sealed: 59 + 41 bytes of runs, 27 of tree, the 127 that a piece of 128 holds. */
export const sealed = {
  state: 'sealed',
  length_bytes: 100,
  entry_count: 1,
  oldest_accepted_at: AT,
  seal_reason: 'full',
  tree_key: 'trees/1',
  tree_bytes: 27,
  batch_root: 'bafyroot',
  car_bytes: 127,
  piece_cid: 'baga1',
  piece_bytes: 128,
  sealed_at: AT,
};

/** States of a deal with what each needs. */
export const published = { state: 'published', attempts: 1, chain_deal_id: 7 };
export const active = { ...published, state: 'active', sector_start_epoch: 110 };
export const rejected = { state: 'rejected', attempts: 1, reason_code: 'refused', settled_at: AT };

/** Inserts a valid row with changes. */
export async function insert(client: pg.ClientBase, table: Table, changes: Row = {}): Promise<void> {
  const row: Row = { ...valid[table], ...changes };
  const names = Object.keys(row);
  const places = names.map((_, at) => `$${at + 1}`);
  await client.query(`insert into ${table} (${names.join(', ')}) values (${places.join(', ')})`, Object.values(row));
}

/** An upload, an aggregate and a provider for others to refer to; numbers begin at 1 again. */
export async function insertFoundation(client: pg.ClientBase): Promise<void> {
  await client.query(
    'alter sequence uploads_id_seq restart; alter sequence aggregates_id_seq restart; alter sequence owners_id_seq restart',
  );
  await insert(client, 'uploads');
  await insert(client, 'aggregates');
  await insert(client, 'providers');
}
