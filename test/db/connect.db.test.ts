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
});
