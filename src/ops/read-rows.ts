import { sql, type Kysely, type RawBuilder } from 'kysely';
import type { Static, TObject, TProperties } from 'typebox';
import type { DB } from '../db/tables.ts';
import { formatOffsetTime } from '../deals/status/time-format.ts';

/** What a row of these columns is once it is answered. */
export type ShownRow<T extends TProperties> = Static<TObject<T>>;

interface Source<T extends TProperties> {
  view: string;
  row: T;
  order: string;
}

function columnOf(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function columnSql(name: string, schema: object): RawBuilder<unknown> {
  const column = sql.ref(columnOf(name));
  return 'format' in schema && schema.format === 'date' ? sql`${column}::text as ${sql.ref(columnOf(name))}` : column;
}

function shown(value: unknown): unknown {
  if (value instanceof Date) return formatOffsetTime(value, 'microseconds');
  return typeof value === 'bigint' ? Number(value) : value;
}

/** The first rows of a view, with the columns that `row` names, as they are answered. */
export async function readRows<T extends TProperties>(
  kysely: Kysely<DB>,
  { view, row, order }: Source<T>,
  limit: number,
): Promise<ShownRow<T>[]> {
  const columns = Object.entries(row).map(([name, schema]) => columnSql(name, schema));
  const { rows } = await sql<Record<string, unknown>>`
    select ${sql.join(columns)} from ${sql.table(view)} order by ${sql.raw(order)} limit ${limit}`.execute(kysely);
  const names = Object.keys(row);
  return rows.map((found) =>
    Object.fromEntries(names.map((name) => [name, shown(found[columnOf(name)])])),
  ) as ShownRow<T>[];
}
