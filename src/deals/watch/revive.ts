import type { Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import { moveDeal, type MovedColumns } from '../move-deal.ts';

export interface ReviveDeps {
  trx: Kysely<DB>;
  jobs: Jobs;
  now: Date;
}

interface Revived {
  id: string;
  aggregateId: bigint;
}

async function listOthers(trx: Kysely<DB>, { id, aggregateId }: Revived) {
  return await trx
    .selectFrom('deals')
    .select(['id', 'state', 'slot', 'provider_id', 'generation', 'settled_at'])
    .where('aggregate_id', '=', aggregateId)
    .where('id', '!=', id)
    .execute();
}

/** Of a replacement that is only signed nothing has left: it goes, before a provider hears of it. The ids that went. */
async function callOffUnsent(
  { trx, jobs, now }: ReviveDeps,
  { id, aggregateId }: Revived,
  rivals: readonly { id: string; state: string }[],
): Promise<Set<string>> {
  const gone = new Set<string>();
  const reason = { code: 'called_off', text: `deal ${id}, which it was to replace, is on the chain` };
  for (const { id: rival, state } of rivals) {
    // Not moved where a sender was faster.
    if (state !== 'signed' || !(await moveDeal(trx, { id: rival, from: 'signed', to: 'abandoned', at: now, reason })))
      continue;
    gone.add(rival);
  }
  if (gone.size > 0) await jobs.send(trx, 'propose', { aggregateId: aggregateId.toString() });
  return gone;
}

/**
 * Makes room for a deal that comes back to life. Its own place is free again once a replacement that nobody was sent is
 * called off. One that was sent may become a deal, too: then the revived deal gets a generation of its own, as both are
 * real, and both are shown.
 */
export async function makeRoom(
  deps: ReviveDeps,
  revived: Revived,
): Promise<{ columns: MovedColumns; calledOff: ReadonlySet<string> }> {
  const own = await deps.trx
    .selectFrom('deals')
    .select(['slot', 'provider_id', 'generation'])
    .where('id', '=', revived.id)
    .executeTakeFirstOrThrow();
  const others = await listOthers(deps.trx, revived);
  const rivals = others.filter(
    (other) =>
      other.settled_at === null &&
      other.generation === own.generation &&
      (other.slot === own.slot || other.provider_id === own.provider_id),
  );
  const calledOff = await callOffUnsent(deps, revived, rivals);
  if (rivals.every(({ id }) => calledOff.has(id))) return { columns: {}, calledOff };
  return { columns: { generation: Math.max(...others.map(({ generation }) => generation)) + 1 }, calledOff };
}
