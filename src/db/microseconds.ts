import { sql, type RawBuilder } from 'kysely';

/** A time as PostgreSQL keeps it, which a Date cuts to milliseconds: for cursors, which must name a row exactly. */
export function toMicroseconds(column: string): RawBuilder<bigint> {
  return sql<bigint>`(extract(epoch from ${sql.ref(column)}) * 1000000)::bigint`;
}

export function fromMicroseconds(micros: bigint): RawBuilder<Date> {
  return sql<Date>`('epoch'::timestamptz + ${micros}::bigint * interval '1 microsecond')`;
}
