import { sql, type Kysely } from 'kysely';
import { expect, test } from 'vitest';
import type { DB } from '../../src/db/tables.ts';
import { listFigures } from '../../src/metrics/figure-store.ts';
import { testDatabase } from '../support/database.ts';

const rowsOf = async (kysely: Kysely<DB>, text: string) => (await sql`${sql.raw(text)}`.execute(kysely)).rows;

test('a webhook whose owner has no token any more is muted, and is behind nobody', async () => {
  await using database = await testDatabase();
  const { kysely } = database;
  await sql`insert into uploads (root, state, created_at, changed_at) values ('bafk', 'removed', now(), now())`.execute(
    kysely,
  );
  await sql`insert into events (at, upload_id, to_state) select now(), id, 'removed' from uploads`.execute(kysely);
  for (const owner of ['gone', 'here', 'ours'])
    await sql`insert into webhooks (id, owner, url, filter, created_at, cursor_xid, cursor_position, cursor_index)
      values (gen_random_uuid(), ${owner}, 'https://example.com/', '{}', now(), '0', 0, 0)`.execute(kysely);
  const token = { role: 'upload' as const, created_at: new Date(0), created_by: 'operator' };
  const revoked = { revoked_at: new Date(1), revoked_by: 'operator' };
  await kysely
    .insertInto('tokens')
    .values([
      { ...token, ...revoked, name: 'gone', digest: Buffer.alloc(32, 1) },
      { ...token, ...revoked, name: 'here', digest: Buffer.alloc(32, 2) },
      { ...token, name: 'here', digest: Buffer.alloc(32, 3) },
    ])
    .execute();
  const rows = await rowsOf(
    kysely,
    'select owner, state, backlog_events > 0 as is_behind from ops_webhooks order by owner',
  );
  expect(rows).toEqual([
    { owner: 'gone', state: 'muted', is_behind: false },
    { owner: 'here', state: 'well', is_behind: true },
    { owner: 'ours', state: 'well', is_behind: true },
  ]);
  const figures = async () =>
    (await listFigures(kysely, new Date())).filter(({ what }) => what === 'webhook' || what === 'backlog');
  expect((await figures()).map(({ what, items }) => [what, items])).toEqual([
    ['webhook', 2],
    ['backlog', expect.any(Number)],
  ]);
  await sql`delete from webhooks where owner <> 'gone'`.execute(kysely);
  expect((await figures()).map(({ what, items }) => [what, items])).toEqual([['backlog', 0]]);
});
