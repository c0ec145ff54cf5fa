import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { setProposing } from '../../src/deals/propose/pause.ts';
import { checkWork } from '../../src/doctor/check-work.ts';
import { insertWebhook } from '../../src/events/webhook-store.ts';
import { testDatabase } from '../support/database.ts';

const AT = new Date('2026-03-01T00:00:00Z');

test('the doctor tells of a pause, of jobs that do not mend themselves and of dead letters, with what to do', async () => {
  await using db = await testDatabase();
  const { kysely } = db;
  expect(await checkWork(kysely)).toMatchObject([
    { check: 'proposing', ok: true, text: 'deals are proposed' },
    { check: 'jobs', ok: true },
    { check: 'webhooks', ok: true },
  ]);
  await setProposing(kysely, false, { by: 'alice', reason: 'a bad node', at: AT });
  await sql`insert into pgboss.job (name, data, state, start_after, started_on, retry_count, retry_limit, output) values
    ('send', '{"dealId":"d"}', 'retry', now(), now(), 2, 99, '{"message":"young"}'),
    ('seal', '{"aggregateId":"3"}', 'retry', now(), now(), 12, 99, '{"message":"no space"}')`.execute(kysely);
  const webhook = '11111111-1111-4111-8111-111111111111';
  const after = { xid: '0', position: 0n, index: 0 };
  await insertWebhook(kysely, { id: webhook, owner: 'x', url: 'https://a.example.com/', filter: {}, at: AT, after });
  await sql`insert into webhook_dead_letters (webhook_id, from_xid, from_position, from_index, to_xid, to_position,
    to_index, first_change, changes, attempts, error, failing_since, died_at) values
    (${webhook}::uuid, '1', 1, 0, '1', 2, 0, '1.0', 2, 40, 'answered 500', ${AT}, ${AT})`.execute(kysely);
  expect(await checkWork(kysely)).toMatchObject([
    { ok: true, text: 'PAUSED since 2026-03-01T00:00:00.000Z by alice (a bad node): lading proposing resume goes on' },
    {
      ok: false,
      text: expect.stringMatching(/^1 were given up .* seal .*: no space$/),
      advice: expect.stringContaining('job redrive'),
    },
    { ok: false, text: '1 calls were given up', advice: expect.stringContaining('dead-letter redrive') },
  ]);
  await sql`drop table pgboss.job cascade`.execute(kysely);
  expect(await checkWork(kysely)).toMatchObject([
    { check: 'work', ok: false, advice: expect.stringContaining('migrate') },
  ]);
});
