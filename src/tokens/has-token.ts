import { sql, type Kysely, type RawBuilder } from 'kysely';
import type { DB } from '../db/tables.ts';

/**
 * Whether a token of this name opens anything still. Whoever's was revoked, or is past its time, is told nothing more, and
 * nothing more is fetched for it. `configuredNames`: of the configuration, which are never revoked.
 */
export function hasToken(name: RawBuilder<unknown>, configuredNames: readonly string[]): RawBuilder<boolean> {
  return sql<boolean>`(${name} = any(${configuredNames}::text[])
    or exists (select from tokens t where t.name = ${name} and t.revoked_at is null
      and (t.expires_at is null or t.expires_at > clock_timestamp())))`;
}

/** What whoever asked reads where its token has gone. */
export const TOKEN_GONE = { code: 'TOKEN_GONE', message: 'the token that asked for it was revoked, or has expired' };

/** Of these names, those with such a token. */
export async function namesWithToken(
  db: Kysely<DB>,
  names: readonly string[],
  configuredNames: readonly string[],
): Promise<Set<string>> {
  const { rows } = await sql<{ owner: string }>`
    select n.owner from unnest(${names}::text[]) as n (owner) where ${hasToken(sql`n.owner`, configuredNames)}`.execute(
    db,
  );
  return new Set(rows.map(({ owner }) => owner));
}
