import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { formatDuration } from '../../filecoin/units.ts';
import type { Log } from '../../log/log.ts';
import { forgetBlocks, listForgettable } from './forget-blocks.ts';
import { failUpload, lockStale } from './upload-store.ts';

interface FailStaleDeps {
  kysely: Kysely<DB>;
  clock: Clock;
  log: Log;
  /** How long an incomplete upload may get no new part. */
  uploadTimeoutMs: number;
}

/** Uploads of one transaction: two short statements each. */
const BATCH_UPLOADS = 100;

/**
 * Fails incomplete uploads that got no new part for the time given; says how many. Their parts and what is known of
 * their blocks stay, so that the missing parts heal one, and so does a complete CAR. Also deletes what was
 * written down of uploads that are complete by now: millions of rows of a large one, for which no caller should wait.
 */
export async function failStale(deps: FailStaleDeps): Promise<number> {
  let failed = 0;
  for (let batch = BATCH_UPLOADS; batch === BATCH_UPLOADS; failed += batch) batch = await failBatch(deps);
  for (const uploadId of await listForgettable(deps.kysely)) await forgetBlocks(deps.kysely, uploadId);
  if (failed > 0) deps.log.info({ failed }, 'upload.stale_failed');
  return failed;
}

/** One transaction; uploads whose row a part holds just now are passed over, for they are not stale. */
async function failBatch({ kysely, clock, uploadTimeoutMs }: FailStaleDeps): Promise<number> {
  const at = clock.now();
  const before = new Date(at.getTime() - uploadTimeoutMs);
  return await kysely.transaction().execute(async (trx) => {
    const stale = await lockStale(trx, { before, limit: BATCH_UPLOADS });
    for (const upload of stale) {
      const blocks = upload.missingCount === 1n ? '1 block is' : `${upload.missingCount} blocks are`;
      const failure = `no new part came for ${formatDuration(uploadTimeoutMs)}; ${blocks} missing, the first is ${upload.missingFirst}`;
      await failUpload(trx, { id: upload.id, failure, at });
    }
    return stale.length;
  });
}
