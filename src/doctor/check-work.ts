import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import { findProposing } from '../deals/propose/pause.ts';
import { listTroubledJobs } from '../jobs/job-troubles.ts';
import { examine, sound, wrong, type Finding } from './finding.ts';

/** A fault that lasts so many tries does not mend itself: by then the job was tried for minutes. */
const MANY_TRIES = 10;
const LOOKED_AT = 1_000;

/** What does not go on although all that it stands on is well: what a person stopped, and what was given up. */
export async function checkWork(db: Kysely<DB>): Promise<Finding[]> {
  return examine('work', 'see that lading migrate went through', async () => [
    await proposingFinding(db),
    await jobFinding(db),
    await letterFinding(db),
  ]);
}

/** A pause is no fault, and what a person wants to know who asks why nothing happens. */
async function proposingFinding(db: Kysely<DB>): Promise<Finding> {
  const { proposing, since, by, reason } = await findProposing(db);
  if (proposing) return sound('proposing', 'deals are proposed');
  const why = reason === null ? '' : ` (${reason})`;
  return sound('proposing', `PAUSED since ${since.toISOString()} by ${by}${why}: lading proposing resume goes on`);
}

async function jobFinding(db: Kysely<DB>): Promise<Finding> {
  const troubled = await listTroubledJobs(db, { limit: LOOKED_AT });
  const stuck = troubled.filter(({ state, tries }) => state === 'failed' || tries >= MANY_TRIES);
  const [first] = stuck;
  if (first === undefined) return sound('jobs', 'none was given up or fails again and again');
  const text = `${stuck.length} were given up or fail again and again, such as ${first.queue} ${first.id}: ${first.error}`;
  return wrong('jobs', text, 'mend what their error says, then: lading job redrive');
}

async function letterFinding(db: Kysely<DB>): Promise<Finding> {
  const { rows } = await sql<{ letters: bigint }>`select count(*) as letters from webhook_dead_letters
    where redrive_at is null`.execute(db);
  const letters = rows[0]?.letters ?? 0n;
  if (letters === 0n) return sound('webhooks', 'no call was given up');
  const advice = 'mend the receivers, then: lading dead-letter list, lading dead-letter redrive';
  return wrong('webhooks', `${letters} calls were given up`, advice);
}
