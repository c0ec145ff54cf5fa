import { sql, type Kysely } from 'kysely';
import { expect } from 'vitest';
import type { DB } from '../../src/db/tables.ts';

export const AT = new Date('2024-05-02T00:00:00Z');

/** Waiting uploads with these names, one event each. */
export async function seedUploads(kysely: Kysely<DB>, roots: readonly string[]): Promise<bigint[]> {
  const facts = { state: 'waiting' as const, run_bytes: 100n, dag_bytes: 90n, block_count: 1n };
  const made = await kysely
    .insertInto('uploads')
    .values(roots.map((root) => ({ root, ...facts, created_at: AT, changed_at: AT })))
    .returning('id')
    .execute();
  await tell(
    kysely,
    made.map(({ id }) => ({ upload_id: id, to_state: 'waiting' })),
  );
  return made.map(({ id }) => id);
}

/** Events as they are written by whoever changes something. */
export async function tell(
  kysely: Kysely<DB>,
  events: { upload_id?: bigint; aggregate_id?: bigint; deal_id?: string; from_state?: string; to_state: string }[],
): Promise<void> {
  await kysely
    .insertInto('events')
    .values(events.map((event) => ({ at: AT, ...event })))
    .execute();
}

/** Until all that was written can be read: transactions of other tests on the same server hold it back for a moment. */
export async function untilReadable(kysely: Kysely<DB>): Promise<void> {
  const counts = sql<{ held: bigint }>`select (select count(*) from events) - (select count(*) from outbox) as held`;
  await expect.poll(async () => (await counts.execute(kysely)).rows[0]?.held, { timeout: 10_000 }).toBe(0n);
}
