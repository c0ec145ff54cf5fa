import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { settleRestored } from '../../src/db/settle-restored.ts';
import { foldHistory } from '../../src/deals/status/history-fold.ts';
import { ROW_DONE } from '../../src/events/change.ts';
import { BEGINNING, findHead, listRows } from '../../src/events/outbox.ts';
import { insertWebhook, listWebhooks } from '../../src/events/webhook-store.ts';
import { AT, seedUploads, tell, untilReadable } from '../events/event-rows.ts';
import { testDatabase } from '../support/database.ts';

/** As a dump of a server that had counted a billion transactions more. */
async function moveElsewhere({ kysely }: Awaited<ReturnType<typeof testDatabase>>): Promise<void> {
  const later = (column: string) =>
    sql`${sql.ref(column)} = (${sql.ref(column)}::text::bigint + 1000000000)::text::xid8`;
  await sql`update events set ${later('xid')}`.execute(kysely);
  await sql`update webhooks set ${later('cursor_xid')}`.execute(kysely);
  await sql`update history_cursor set ${later('xid')}`.execute(kysely);
}

test('a database loaded into another server tells its old and its new events, and webhooks what they had not told', async () => {
  await using db = await testDatabase();
  const { kysely } = db;
  const hook = async () => {
    const after = await findHead(kysely);
    const id = randomUUID();
    await insertWebhook(kysely, { id, owner: 'a', url: 'https://example.com/', filter: {}, at: AT, after });
    return id;
  };
  await seedUploads(kysely, ['bafyone', 'bafytwo']);
  await untilReadable(kysely);
  const behind = await hook();
  const [third] = await seedUploads(kysely, ['bafythree']);
  await untilReadable(kysely);
  const upToDate = await hook();
  const read = async (after: Parameters<typeof listRows>[2]['after']) =>
    (await listRows(kysely, {}, { after, limit: 100 })).map(({ upload, to }) => `${upload?.root} ${to}`);
  await expect.poll(() => read(BEGINNING)).toHaveLength(3);
  await moveElsewhere(db);
  expect(await read(BEGINNING)).toEqual([]);

  expect(await settleRestored(kysely)).toBe(true);
  expect(await settleRestored(kysely)).toBe(false);
  await tell(kysely, [{ upload_id: third ?? 0n, to_state: 'stowed' }]);
  const all = ['bafyone waiting', 'bafytwo waiting', 'bafythree waiting', 'bafythree stowed'];
  await expect.poll(() => read(BEGINNING), { timeout: 10_000 }).toEqual(all);
  const cursorOf = async (id: string) => {
    const row = await kysely.selectFrom('webhooks').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
    return { xid: row.cursor_xid, position: row.cursor_position, index: row.cursor_index };
  };
  expect(await read(await cursorOf(behind))).toEqual(all.slice(2));
  expect(await read(await cursorOf(upToDate))).toEqual(all.slice(3));
  expect((await cursorOf(behind)).index).toBe(ROW_DONE);
  expect(await listWebhooks(kysely, { limit: 10 })).toHaveLength(2);
  await foldHistory({ kysely, clock: { now: () => AT } });
  expect(await kysely.selectFrom('history_cursor').select('position').executeTakeFirst()).toEqual({ position: 4n });
});

test('a cursor from another server is enough: it stands behind the last event, where other transactions were', async () => {
  await using db = await testDatabase();
  const { kysely } = db;
  const [id] = await seedUploads(kysely, ['bafyone']);
  await untilReadable(kysely);
  const after = { xid: '1000000000', position: 0n, index: ROW_DONE };
  await insertWebhook(kysely, { id: randomUUID(), owner: 'a', url: 'https://example.com/', filter: {}, at: AT, after });
  expect(await settleRestored(kysely)).toBe(true);
  await tell(kysely, [{ upload_id: id ?? 0n, to_state: 'stowed' }]);
  await untilReadable(kysely);
  const [row] = await kysely.selectFrom('webhooks').selectAll().execute();
  const cursor = { xid: row?.cursor_xid ?? '', position: row?.cursor_position ?? 0n, index: row?.cursor_index ?? 0 };
  expect((await listRows(kysely, {}, { after: cursor, limit: 9 })).map(({ to }) => to)).toEqual(['stowed']);
});

test('a cursor within a row passes over no event of a lower position that a later transaction wrote', async () => {
  await using db = await testDatabase();
  const { kysely } = db;
  await seedUploads(kysely, ['bafyone', 'bafytwo']);
  const [lower, higher] = await kysely.selectFrom('events').select('position').orderBy('position').execute();
  await sql`update events set xid = (2000000000 - position)::text::xid8`.execute(kysely);
  const after = {
    xid: (2_000_000_000n - (higher?.position ?? 0n)).toString(),
    position: higher?.position ?? 0n,
    index: 7,
  };
  await insertWebhook(kysely, { id: randomUUID(), owner: 'a', url: 'https://example.com/', filter: {}, at: AT, after });
  expect(await settleRestored(kysely)).toBe(true);
  const [row] = await kysely.selectFrom('webhooks').selectAll().execute();
  expect(row).toMatchObject({ cursor_position: (lower?.position ?? 0n) - 1n, cursor_index: ROW_DONE });
});

test('a database of this server is left as it is', async () => {
  await using db = await testDatabase();
  await seedUploads(db.kysely, ['bafyone']);
  const xids = () => db.kysely.selectFrom('events').select('xid').execute();
  const before = await xids();
  expect(await settleRestored(db.kysely)).toBe(false);
  expect(await xids()).toEqual(before);
});
