import { randomUUID } from 'node:crypto';
import type { Kysely } from 'kysely';
import { listDamage } from '../aggregate/keep/scrub-store.ts';
import { sumStoredBytes } from '../aggregate/keep/quota.ts';
import type { DB } from '../db/tables.ts';
import { formatBytes } from '../filecoin/units.ts';
import type { ObjectStore } from '../storage/store.ts';
import { examine, sound, wrong, type Finding } from './finding.ts';

/** Enough to tell a store that loses or changes bytes, small enough for every store. */
const PROBE_BYTES = 64 * 1024;

/** Writes an object, reads it back and removes it; what happens to it is what happens to uploads. */
export async function checkStore(store: ObjectStore): Promise<Finding[]> {
  return examine('store', 'see that STORE_URL is right, and that we may write, read and remove there', async () => {
    const key = `doctor/${randomUUID()}`;
    const written = crypto.getRandomValues(new Uint8Array(PROBE_BYTES));
    const staged = await store.stage(key);
    try {
      await staged.write(written);
      await staged.commit();
    } finally {
      await staged.abort();
    }
    const chunks: Uint8Array[] = [];
    try {
      for await (const chunk of store.read(key, 0, PROBE_BYTES)) chunks.push(chunk);
    } finally {
      await store.remove(key);
    }
    const isSame = Buffer.concat(chunks).equals(written);
    const isGone = (await store.size(key)) === undefined;
    if (!isSame) return [wrong('store', 'other bytes came back than were written', 'do not use this store: check it')];
    if (!isGone) return [wrong('store', `${key} was removed and is still there`, 'allow us to remove objects')];
    return [sound('store', 'wrote an object, read it back and removed it')];
  });
}

/** Room for further uploads: free space, and the quota where there is one. */
export async function checkRoom(
  { store, db }: { store: ObjectStore; db: Kysely<DB> | undefined },
  bounds: { minFreeBytes: bigint; quotaBytes: bigint | undefined },
): Promise<Finding[]> {
  return examine('store.room', 'see that the store answers', async () => {
    const findings: Finding[] = [];
    const freeBytes = await store.freeBytes();
    if (freeBytes === undefined) findings.push(sound('store.free', 'this store has no bound of its own'));
    else findings.push(judgeFree(freeBytes, bounds.minFreeBytes));
    if (db !== undefined && bounds.quotaBytes !== undefined) {
      findings.push(judgeQuota(await sumStoredBytes(db), bounds.quotaBytes));
    }
    return findings;
  });
}

function judgeFree(freeBytes: number, minFreeBytes: bigint): Finding {
  const told = `${formatBytes(freeBytes)} free, uploads are refused below ${formatBytes(minFreeBytes)} (MIN_FREE_SPACE)`;
  if (BigInt(freeBytes) > minFreeBytes) return sound('store.free', told);
  return wrong('store.free', told, 'free space on the disk of the store, set RETENTION, or move to a larger one');
}

function judgeQuota(storedBytes: bigint, quotaBytes: bigint): Finding {
  const told = `${formatBytes(storedBytes)} of ${formatBytes(quotaBytes)} stored (STORE_QUOTA)`;
  if (storedBytes < quotaBytes) return sound('store.quota', told);
  return wrong('store.quota', told, 'raise STORE_QUOTA, or set RETENTION so that bytes of kept aggregates go');
}

/** Ranges told one by one; more are counted. */
const MAX_TOLD = 20;

/** What the scrubber has found and nobody has mended. */
export async function checkDamage(db: Kysely<DB>): Promise<Finding[]> {
  return examine('damage', 'see that the database is migrated', async () => {
    const damage = await listDamage(db, MAX_TOLD + 1);
    if (damage.length === 0) return [sound('damage', `no stored bytes are known to be damaged; ${await lastPass(db)}`)];
    const more = damage.length > MAX_TOLD ? wrong('damage', 'there are more damaged ranges', 'mend these first') : [];
    return [...damage.slice(0, MAX_TOLD).map(tellDamage), ...[more].flat()];
  });
}

function tellDamage({
  root,
  aggregateId,
  objectKey,
  offset,
  lengthBytes,
  what,
}: Awaited<ReturnType<typeof listDamage>>[number]) {
  const whose = root === null ? `the batch tree of aggregate ${aggregateId}` : `the upload ${root}`;
  const where = `${objectKey}, ${lengthBytes} bytes from ${offset}`;
  const advice = 'restore this object from a copy, or fetch the piece from a storage provider with an active deal';
  return wrong('damage', `${whose} is damaged (${where}): ${what}`, advice);
}

async function lastPass(db: Kysely<DB>): Promise<string> {
  const query = db.selectFrom('scrub_progress').select('pass_ended_at').where('kind', '=', 'parts');
  const endedAt = (await query.executeTakeFirst())?.pass_ended_at;
  if (endedAt === undefined || endedAt === null) return 'not all was read yet';
  return `all was read last by ${endedAt.toISOString()}`;
}
