import { randomUUID } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import { sqlStateOf } from '../../db/sqlstate.ts';
import type { DB } from '../../db/tables.ts';
import { canonicalCid } from '../../filecoin/cid.ts';
import type { Jobs } from '../../jobs.ts';
import type { Log } from '../../log.ts';
import type { ObjectStore, StagedObject } from '../../storage/store.ts';
import { checkUploadBytes, limitBody, SpaceGuard, type ReceiveLimits } from './receive-limits.ts';
import { decideUpload, settleUpload, type SettleInput, type Settled } from './settle-upload.ts';
import { stageCar, type StagedCar } from './stage-car.ts';
import { findUpload } from './upload-store.ts';

export interface ReceiveDeps {
  kysely: Kysely<DB>;
  store: ObjectStore;
  jobs: Pick<Jobs, 'send'>;
  clock: Clock;
  limits: ReceiveLimits;
  log: Log;
}

export interface ReceiveInput {
  body: AsyncIterable<Uint8Array>;
  /** The name of the token that sends it. */
  owner: string;
  /** Content-Length where the caller gave one. */
  declaredBytes?: number;
  /** Aborted when the caller is gone. */
  signal: AbortSignal;
}

export interface Received {
  uploadId: bigint;
  /** The root as the CAR names it, and as we store it (CIDv1 base32). */
  cid: string;
  root: string;
  complete: boolean;
}

/**
 * Takes one CAR: every block checked, canonical sections durable in the store, then one transaction. Returns only after
 * both are on disk. Whatever goes wrong before that, a caller who leaves included, leaves nothing behind.
 * Throws `BadInput` (`CAR_*`, `HASH_MISMATCH`, … naming block or byte; `UPLOAD_TOO_LARGE`), and `STORE_FULL`.
 */
export async function receiveCar(deps: ReceiveDeps, input: ReceiveInput): Promise<Received> {
  const space = new SpaceGuard(deps.store, deps.limits);
  checkUploadBytes(input.declaredBytes ?? 0, deps.limits);
  await space.expect(input.declaredBytes ?? 0);
  const objectKey = `runs/${randomUUID()}`;
  const staged = await deps.store.stage(objectKey);
  try {
    const body = limitBody(input.body, deps.limits, input.signal);
    const car = await stageCar({ body, staged, space, limits: deps.limits });
    input.signal.throwIfAborted();
    return await keepCar(deps, { input, car, staged, objectKey });
  } finally {
    // Nothing to abort once it was committed.
    await staged.abort();
  }
}

interface Keep {
  input: ReceiveInput;
  car: StagedCar;
  staged: StagedObject;
  objectKey: string;
}

async function keepCar(deps: ReceiveDeps, { input, car, staged, ...place }: Keep): Promise<Received> {
  const root = canonicalCid(car.root);
  const found = await findUpload(deps.kysely, root);
  const needed = decideUpload(found?.state, car.missing === undefined) !== 'own';
  const objectKey = needed ? place.objectKey : undefined;
  if (objectKey !== undefined) await staged.commit();
  const { limits, clock } = deps;
  const settled = await settleOrRemove(deps, {
    root,
    owner: input.owner,
    facts: car,
    objectKey,
    limits,
    at: clock.now(),
  });
  const { uploadId, complete } = settled;
  deps.log.info(
    { uploadId: uploadId.toString(), root, blocks: car.blockCount, bytes: car.runBytes, complete },
    'upload.received',
  );
  return { uploadId, cid: car.root.toString(), root, complete };
}

/** The transaction; when it did not happen, or nothing names our object, the object is removed. */
async function settleOrRemove(deps: ReceiveDeps, input: SettleInput): Promise<Settled> {
  let ready = false;
  try {
    const settled = await deps.kysely.transaction().execute(async (trx) => {
      const result = await settleUpload(trx, deps.jobs, input);
      ready = true;
      return result;
    });
    for (const key of settled.unneeded) await dropObject(deps, key);
    return settled;
  } catch (error) {
    // A connection lost at COMMIT leaves it open whether a row names the object: then only sweepOrphans may tell.
    if (!ready || wasRefused(error)) await dropObject(deps, input.objectKey);
    throw error;
  }
}

/** PostgreSQL itself refused the commit (a SQLSTATE other than a lost connection or a shutdown), so no row is there. */
function wasRefused(error: unknown): boolean {
  return /^(?!08|57)/.test(sqlStateOf(error) ?? '08');
}

/** An object that stays by a fault here is removed by sweepOrphans. */
async function dropObject({ store, log }: ReceiveDeps, objectKey: string | undefined): Promise<void> {
  if (objectKey === undefined) return;
  try {
    await store.remove(objectKey);
  } catch (error) {
    log.warn({ objectKey, err: error }, 'upload.object_left');
  }
}
