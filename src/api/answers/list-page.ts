import { Type, type TSchema } from 'typebox';
import type { RowCount } from '../../db/count-rows.ts';
import { BadInput } from '../../errors.ts';
import { encodeCursor, exactly, nullableText, pageLimit, pageQuery } from './schemas.ts';

/** Of every list: a page, and with `count` how long the list is. */
export const listQuery = {
  ...pageQuery,
  count: Type.Optional(
    Type.Boolean({ description: 'true: the answer says how many items all pages hold, as the filters have it' }),
  ),
};

const countSchema = exactly({
  value: Type.Integer(),
  exact: Type.Boolean({ description: 'false: estimated by the statistics of the database, as there are very many' }),
});

export function listOf<T extends TSchema>(item: T) {
  return exactly({ items: Type.Array(item), next: nullableText, count: Type.Optional(countSchema) });
}

/** A time of a filter, ISO 8601 with its offset. */
export function timeFilter(description: string) {
  return Type.Optional(Type.String({ format: 'date-time', maxLength: 40, description }));
}

/** Throws `INVALID_REQUEST`: the format lets times through that are none, such as a leap second. */
export function parseTime(name: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const time = new Date(text);
  if (!Number.isNaN(time.getTime())) return time;
  throw new BadInput('INVALID_REQUEST', `${name}: '${text}' is not a time such as 2026-05-01T00:00:00Z`);
}

interface Listing<Row, Item> {
  /** Reads up to so many rows, from where the cursor says. */
  read(limit: number): Promise<Row[]>;
  /** What names the place of a row in the list. */
  place(row: Row): string[];
  answer(row: Row): Item;
  count(): Promise<RowCount>;
}

/** One page. A row more than it holds is read, so that `next` never leads to an empty one. */
export async function listPage<Row, Item>(
  query: { limit?: number; count?: boolean },
  { read, place, answer, count }: Listing<Row, Item>,
) {
  const limit = pageLimit(query);
  const rows = await read(limit + 1);
  const last = rows.length > limit ? rows[limit - 1] : undefined;
  return {
    items: rows.slice(0, limit).map(answer),
    next: last === undefined ? null : encodeCursor(place(last)),
    ...(query.count === true ? { count: await count() } : {}),
  };
}
