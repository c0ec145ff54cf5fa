import { sql, type Kysely, type Selectable } from 'kysely';
import type { TokenRole } from '../config.ts';
import type { DB, Tokens } from '../db/tables.ts';

/** A token of the database, without what it is. */
export interface Token {
  id: bigint;
  name: string;
  role: TokenRole;
  createdAt: Date;
  createdBy: string;
  expiresAt: Date | undefined;
  /** Up to a minute late. */
  lastUsedAt: Date | undefined;
  revokedAt: Date | undefined;
  revokedBy: string | undefined;
}

const columns = [
  'id',
  'name',
  'role',
  'created_at',
  'created_by',
  'expires_at',
  'last_used_at',
  'revoked_at',
  'revoked_by',
] as const;

function toToken(row: Pick<Selectable<Tokens>, (typeof columns)[number]>): Token {
  return {
    id: row.id,
    name: row.name,
    role: row.role,
    createdAt: row.created_at,
    createdBy: row.created_by,
    expiresAt: row.expires_at ?? undefined,
    lastUsedAt: row.last_used_at ?? undefined,
    revokedAt: row.revoked_at ?? undefined,
    revokedBy: row.revoked_by ?? undefined,
  };
}

export interface NewToken {
  name: string;
  role: TokenRole;
  digest: Buffer;
  createdAt: Date;
  createdBy: string;
  expiresAt: Date | undefined;
}

export async function insertToken(trx: Kysely<DB>, token: NewToken): Promise<Token> {
  const row = await trx
    .insertInto('tokens')
    .values({
      name: token.name,
      role: token.role,
      digest: token.digest,
      created_at: token.createdAt,
      created_by: token.createdBy,
      expires_at: token.expiresAt ?? null,
    })
    .returning(columns)
    .executeTakeFirstOrThrow();
  return toToken(row);
}

/** Newest first; `beforeId` is the last of the page before. */
export async function listTokens(
  db: Kysely<DB>,
  { beforeId, limit }: { beforeId?: bigint; limit: number },
): Promise<Token[]> {
  let query = db.selectFrom('tokens').select(columns).orderBy('id', 'desc').limit(limit);
  if (beforeId !== undefined) query = query.where('id', '<', beforeId);
  return (await query.execute()).map(toToken);
}

export async function findToken(db: Kysely<DB>, id: bigint): Promise<Token | undefined> {
  const row = await db.selectFrom('tokens').select(columns).where('id', '=', id).executeTakeFirst();
  return row && toToken(row);
}

/** The one that is not revoked, of all that had the name. */
export async function findTokenByName(db: Kysely<DB>, name: string): Promise<Token | undefined> {
  const row = await db
    .selectFrom('tokens')
    .select(columns)
    .where('name', '=', name)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return row && toToken(row);
}

/** The token of this digest unless it is revoked; whether it has expired is for the caller's clock. */
export async function findTokenByDigest(db: Kysely<DB>, digest: Buffer): Promise<Token | undefined> {
  const row = await db
    .selectFrom('tokens')
    .select(columns)
    .where('digest', '=', digest)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return row && toToken(row);
}

/** Undefined when there is none, or when it is revoked already. */
export async function setRevoked(
  trx: Kysely<DB>,
  id: bigint,
  { by, at }: { by: string; at: Date },
): Promise<Token | undefined> {
  const row = await trx
    .updateTable('tokens')
    .set({ revoked_at: at, revoked_by: by })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .returning(columns)
    .executeTakeFirst();
  return row && toToken(row);
}

/** Another process may have seen a later use: the latest stays. */
export async function setLastUsed(db: Kysely<DB>, used: ReadonlyMap<bigint, Date>): Promise<void> {
  const ids = [...used.keys()];
  const times = [...used.values()].map((at) => at.toISOString());
  await sql`
    update tokens set last_used_at = used.at
    from unnest(${ids}::bigint[], ${times}::timestamptz[]) as used (id, at)
    where tokens.id = used.id and (tokens.last_used_at is null or tokens.last_used_at < used.at)`.execute(db);
}
