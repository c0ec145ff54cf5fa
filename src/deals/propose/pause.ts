import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { writeAudit, type Act } from '../audit.ts';
import { holdPolicy, insertPolicy } from './policy-store.ts';

/** Whether anything new is proposed, and who said so, when and why: the version of the policy that turned it. */
export interface Proposing {
  proposing: boolean;
  policyVersion: number;
  since: Date;
  by: string;
  reason: string | null;
}

/** Later versions of the policy, of other terms, do not make it younger. By one statement: it may change meanwhile. */
export async function findProposing(db: Kysely<DB>): Promise<Proposing> {
  const { rows } = await sql<Proposing>`
    select proposing, version as "policyVersion", created_at as since, created_by as by, reason from policies
    where version > (select coalesce(max(o.version), 0) from policies o
      where o.proposing <> (select proposing from policies order by version desc limit 1))
    order by version limit 1`.execute(db);
  const [found] = rows;
  if (found === undefined) throw new Error('there is no policy, which the first migration makes');
  return found;
}

/**
 * Pauses or resumes proposing as a whole, as a version of the policy with its audit row: a pass that is under way signs
 * nothing any more, and what is in flight goes on. False: it was so already, and nothing is written.
 */
export async function setProposing(db: Kysely<DB>, wanted: boolean, act: Act & { at: Date }): Promise<boolean> {
  const { by, reason, at } = act;
  return await db.transaction().execute(async (trx) => {
    const current = await holdPolicy(trx);
    if (current.proposing === wanted) return false;
    const { version } = await insertPolicy(trx, { ...current, proposing: wanted }, act);
    const action = wanted ? 'proposing.resume' : 'proposing.pause';
    const detail = { from: current.version, to: version, changes: [`proposing=${wanted}`] };
    await writeAudit(trx, { actor: by, action, subject: 'policy', reason, detail, at });
    return true;
  });
}
