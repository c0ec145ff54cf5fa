import { userInfo } from 'node:os';
import type { Kysely } from 'kysely';
import type { DB, Json } from '../db/tables.ts';
import { note } from '../log/story.ts';
import { storableText } from '../storable-text.ts';

/** Who acts, and why when they say so. `name` is a token's name, or `cli:<user of the operating system>`. */
export interface Act {
  by: string;
  reason?: string | undefined;
}

export interface AuditEntry {
  actor: string;
  /** What was done, such as `provider.pause`. */
  action: string;
  /** To what: a provider's id, a deal's uuid, `policy`, `aggregate 7`. */
  subject: string;
  reason?: string | undefined;
  detail?: Json | undefined;
  at: Date;
}

/** Writes down an act of a person. In the transaction of the act, so that there is neither without the other. */
export async function writeAudit(trx: Kysely<DB>, entry: AuditEntry): Promise<void> {
  const { actor, action, subject, detail = null, at } = entry;
  const reason = entry.reason === undefined ? null : storableText(entry.reason);
  await trx
    .insertInto('audit')
    .values({ at, actor, action, subject, reason, detail: detail === null ? null : JSON.stringify(detail) })
    .execute();
  note({ action, subject });
}

export interface ListedAudit {
  id: bigint;
  at: Date;
  actor: string;
  action: string;
  subject: string;
  reason: string | null;
  detail: Json | null;
}

/** Newest first; `beforeId` is the last of the page before. */
export async function listAudit(
  db: Kysely<DB>,
  { beforeId, subject, limit }: { beforeId?: bigint; subject?: string; limit: number },
): Promise<ListedAudit[]> {
  let query = db.selectFrom('audit').selectAll().orderBy('id', 'desc').limit(limit);
  if (beforeId !== undefined) query = query.where('id', '<', beforeId);
  if (subject !== undefined) query = query.where('subject', '=', subject);
  return query.execute();
}

/** Whoever types at this machine. */
export function commandLineActor(): string {
  return `cli:${userInfo().username}`;
}

/** Writes down that an aggregate was sealed by hand: for the transaction that does it. */
export function auditSeal(aggregateId: bigint, { by, reason }: Act, at: Date): (trx: Kysely<DB>) => Promise<void> {
  const subject = `aggregate ${aggregateId}`;
  return (trx) => writeAudit(trx, { actor: by, action: 'aggregate.seal', subject, reason, at });
}
