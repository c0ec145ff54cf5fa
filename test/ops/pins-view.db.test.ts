import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { apiFixture } from '../support/api-fixture.ts';
import { uploadAll } from '../api/call.ts';

test('ops_pins: each pin with its upload, and why it fails', async () => {
  await using fixture = await apiFixture();
  const { kysely } = fixture;
  const roots = await uploadAll(fixture, ['well', 'ill']);
  await sql`insert into pins (upload_id, status, step, due_at, failing_since, error, changed_at)
    select id, case when root = ${roots[0] ?? ''} then 'pinned' else 'failed' end::pin_status, 'look', now() + interval '1 hour',
      case when root = ${roots[1] ?? ''} then now() - interval '2 hours' end, case when root = ${roots[1] ?? ''} then 'no peer has room' end, now()
    from uploads`.execute(kysely);
  const { rows } = await sql`select root, status, next_step, round(failing_seconds / 3600)::integer as hours, error
    from ops_pins order by upload_id`.execute(kysely);
  expect(rows).toEqual([
    { root: roots[0], status: 'pinned', next_step: 'look', hours: null, error: null },
    { root: roots[1], status: 'failed', next_step: 'look', hours: 2, error: 'no peer has room' },
  ]);
});
