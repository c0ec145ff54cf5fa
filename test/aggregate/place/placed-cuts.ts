import type { Kysely } from 'kysely';
import type { DB } from '../../../src/db/tables.ts';
import { insertAggregate } from '../../../src/aggregate/aggregate-steps.ts';
import type { SealRules } from '../../../src/aggregate/place/placement-rules.ts';
import { START } from '../aggregate-fixture.ts';

/** Puts a cut of an upload into an open aggregate of its own, by hand; with the last one the upload is stowed. */
export async function placeCut(db: Kysely<DB>, rules: SealRules, uploadId: bigint, cut: number): Promise<bigint> {
  return await db.transaction().execute(async (trx) => {
    const { id, lengthBytes } = await insertAggregate(trx, { ...rules, openAggregates: 1_000 }, START);
    const cuts = await trx.selectFrom('cuts').selectAll().where('upload_id', '=', uploadId).orderBy('cut').execute();
    const bytes = cuts[cut]?.run_bytes ?? 0n;
    await trx
      .updateTable('aggregates')
      .set({ length_bytes: lengthBytes + bytes, entry_count: 1, oldest_accepted_at: START })
      .where('id', '=', id)
      .execute();
    const place = {
      aggregate_id: id,
      seq: 0,
      upload_id: uploadId,
      cut,
      offset_bytes: lengthBytes,
      length_bytes: bytes,
    };
    await trx.insertInto('placements').values(place).execute();
    if (cut + 1 === cuts.length) await stowUpload(trx, uploadId);
    return id;
  });
}

async function stowUpload(trx: Kysely<DB>, uploadId: bigint): Promise<void> {
  await trx.updateTable('uploads').set({ state: 'stowed' }).where('id', '=', uploadId).execute();
  const event = { at: START, upload_id: uploadId, from_state: 'waiting', to_state: 'stowed' };
  await trx.insertInto('events').values(event).execute();
}

export async function countCuts(db: Kysely<DB>, uploadId: bigint): Promise<number> {
  return (await db.selectFrom('cuts').select('cut').where('upload_id', '=', uploadId).execute()).length;
}
