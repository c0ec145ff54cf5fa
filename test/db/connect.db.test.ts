import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { testDatabase } from '../support/database.ts';

describe('connect', () => {
  it('reads int8 as bigint, numeric as text, timestamptz as Date and uuid as text, beyond what a number holds', async () => {
    await using db = await testDatabase();
    const { rows } = await sql<
      Record<string, unknown>
    >`select 9007199254740993::int8 as big, 1234567890123456789012345678901234567890::numeric as amount,
      '2024-02-03T04:05:06Z'::timestamptz as at, '00000000-0000-4000-8000-000000000001'::uuid as id, 7::int4 as small, array[1::int8] as many`.execute(
      db.kysely,
    );
    expect(rows).toEqual([
      {
        big: 9007199254740993n,
        amount: '1234567890123456789012345678901234567890',
        at: new Date('2024-02-03T04:05:06Z'),
        id: '00000000-0000-4000-8000-000000000001',
        small: 7,
        many: ['1'],
      },
    ]);
  });

  it('outlives the loss of a connection that is held and idle', async () => {
    await using db = await testDatabase();
    const held = db.kysely.connection().execute(async (own) => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(own);
      await sql`select pg_terminate_backend(${rows[0]?.pid})`.execute(db.kysely);
      // Without a listener the loss would be an uncaught exception, which ends the process.
      await delay(200);
      await sql`select 1`.execute(own);
    });
    await expect(held).rejects.toThrow(/terminat|not queryable/i);
    await sql`select 1`.execute(db.kysely);
  });
});
