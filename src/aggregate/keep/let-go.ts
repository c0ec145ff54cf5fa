import { sql, type Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { tellEvent } from '../../db/tell-event.ts';
import { formatDuration } from '../../filecoin/units.ts';
import type { Log } from '../../log/log.ts';
import { deleteBatchOfUpload, forgetBytes } from '../delete-of-upload.ts';

interface LetGoDeps {
  kysely: Kysely<DB>;
  clock: Clock;
  log: Log;
}

/** So long the parts of a failed upload wait for those that are missing: a client that comes back within a week is healed. */
export const FAILED_PARTS_MS = 7 * 86_400_000;
/** Uploads of one round; each is a transaction of its own. */
const ROUND_UPLOADS = 100;

const BLOCK_TABLES = ['part_blocks', 'wanted_blocks'] as const;

/**
 * Lets go of what nobody waits for: rows of blocks of removed uploads, and the parts of uploads that failed long ago,
 * then the rows of their blocks. Their objects go by the sweep. True: there is more to do at once.
 */
export async function letGo(deps: LetGoDeps): Promise<boolean> {
  const forgotten = await forgetPartless(deps.kysely);
  const failed = await listFailedWithParts(deps);
  for (const id of failed) await letPartsGo(deps, id);
  if (failed.length > 0) deps.log.info({ uploads: failed.length }, 'upload.parts_let_go');
  return forgotten > 0 || failed.length > 0;
}

/**
 * Block rows of one upload whose bytes are gone, a batch, so that no uploader waits for its row for long; answers how
 * many. Skips from upload to upload in the index, for one alone may have millions.
 */
async function forgetPartless(kysely: Kysely<DB>): Promise<number> {
  for (const table of BLOCK_TABLES) {
    const found = await sql<{ id: bigint }>`
      with recursive held (id) as (
        select min(upload_id) from ${sql.table(table)}
        union all
        select (select min(b.upload_id) from ${sql.table(table)} b where b.upload_id > held.id) from held
        where held.id is not null)
      select u.id from held join uploads u on u.id = held.id
      where u.state = 'removed'
        or (u.state = 'failed' and not exists (select from parts p where p.upload_id = u.id)) limit 1`.execute(kysely);
    const id = found.rows[0]?.id;
    if (id !== undefined) return await forgetBatch(kysely, id, table);
  }
  return 0;
}

async function forgetBatch(kysely: Kysely<DB>, id: bigint, table: (typeof BLOCK_TABLES)[number]): Promise<number> {
  return await kysely
    .transaction()
    .execute(async (trx) => ((await lockPartless(trx, id)) ? await deleteBatchOfUpload(trx, table, id) : 0));
}

/** A part that comes meanwhile waits for the upload's row; one that came before has forgotten these rows itself. */
async function lockPartless(trx: Kysely<DB>, id: bigint): Promise<boolean> {
  const query = trx.selectFrom('uploads').select('state').where('id', '=', id);
  const upload = await query.where('state', 'in', ['removed', 'failed']).forUpdate().executeTakeFirst();
  if (upload === undefined) return false;
  const parts = trx.selectFrom('parts').select('id').where('upload_id', '=', id).limit(1);
  return (await parts.executeTakeFirst()) === undefined;
}

async function listFailedWithParts({ kysely, clock }: LetGoDeps): Promise<bigint[]> {
  const before = new Date(clock.now().getTime() - FAILED_PARTS_MS);
  const rows = await kysely
    .selectFrom('uploads as u')
    .select('u.id')
    .where('u.state', '=', 'failed')
    .where('u.changed_at', '<=', before)
    .where((eb) => eb.exists(eb.selectFrom('parts as p').select('p.id').whereRef('p.upload_id', '=', 'u.id')))
    .orderBy('u.changed_at')
    .orderBy('u.id')
    .limit(ROUND_UPLOADS)
    .execute();
  return rows.map(({ id }) => id);
}

async function letPartsGo({ kysely, clock }: LetGoDeps, id: bigint): Promise<void> {
  const at = clock.now();
  await kysely.transaction().execute(async (trx) => {
    const query = trx.selectFrom('uploads').select('id').where('id', '=', id).where('state', '=', 'failed');
    const before = new Date(at.getTime() - FAILED_PARTS_MS);
    if ((await query.where('changed_at', '<=', before).forUpdate().executeTakeFirst()) === undefined) return;
    await forgetBytes(trx, id);
    const detail = `the parts that came were kept for ${formatDuration(FAILED_PARTS_MS)} after it failed`;
    await tellEvent(trx, { upload: id }, { from: 'failed', to: 'failed', at, reason: 'PARTS_LET_GO', detail });
  });
}
