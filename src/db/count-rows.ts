import { sql, type Expression, type Kysely } from 'kysely';
import type { DB } from './tables.ts';

/** How many rows a list has in all: counted, or what PostgreSQL expects by its statistics. */
export interface RowCount {
  value: number;
  exact: boolean;
}

/** Up to here rows are counted: some milliseconds. Counting millions takes seconds, and is out of date when it ends. */
const MAX_COUNTED = 10_000;

interface Explained {
  'QUERY PLAN': { Plan: { 'Plan Rows': number } }[];
}

/** Counts what a query without limit selects, and estimates what is more than can be counted at once. */
export async function countRows(kysely: Kysely<DB>, query: Expression<unknown>): Promise<RowCount> {
  const first = sql`select from ${query} as listed limit ${MAX_COUNTED + 1}`;
  const counted = await sql<{ n: bigint }>`select count(*) as n from (${first}) as counted`.execute(kysely);
  const value = Number(counted.rows[0]?.n ?? 0n);
  if (value <= MAX_COUNTED) return { value, exact: true };
  const explained = await sql<Explained>`explain (format json) ${query}`.execute(kysely);
  const expected = explained.rows[0]?.['QUERY PLAN'][0]?.Plan['Plan Rows'] ?? 0;
  return { value: Math.max(Math.round(expected), value), exact: false };
}
