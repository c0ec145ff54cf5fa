import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { canonicalCid } from '../../filecoin/cid.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Log } from '../../log/log.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { note } from '../../log/story.ts';
import type { GroupCommit, GroupSettled } from './commit-group.ts';
import { noBudget, RunSink } from './gather-run.ts';
import { checkUploadBytes, limitBody, SpaceGuard, type ReceiveLimits } from './receive-limits.ts';
import { dropObject, trySettle } from './settle-object.ts';
import { decideUpload } from './settle-upload.ts';
import { stageCar, type PackBody, type StagedCar } from './stage-car.ts';
import { findUpload } from './upload-store.ts';

const SYSTEM_FOLDER = tmpdir();

export type OnComplete = (trx: Kysely<DB>, uploadIds: readonly bigint[]) => Promise<void>;

export interface ReceiveDeps {
  kysely: Kysely<DB>;
  store: ObjectStore;
  jobs: Pick<Jobs, 'send'>;
  /** Told of each upload that is complete whenever it is sent, in the transaction that makes it so. */
  onComplete?: OnComplete | undefined;
  clock: Clock;
  limits: ReceiveLimits;
  log: Log;
  /** Where files lie for as long as an upload arrives that is too much for memory; by default the system's folder. */
  spillFolder?: string;
  /** Gathers small uploads; without it each has an object and a transaction of its own. */
  groups?: GroupCommit;
}

export interface ReceiveInput {
  body: AsyncIterable<Uint8Array>;
  /** What makes blocks of the body; without it the body is a CAR. */
  pack?: PackBody;
  /** The name of the token that sends it. */
  owner: string;
  /** We fetched it because its owner asked to pin it: nobody sent it. */
  forPin?: boolean;
  /** The root that a CAR must have, as we store roots; without it whatever it has. */
  root?: string;
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
  /** Of a new and complete upload: what its row says, and its place in the queue where that was counted. */
  fresh?: { at: Date; dagBytes: number; position: number | undefined; proposingPaused: boolean };
}

/**
 * Takes one CAR, or a body that is packed: every block checked, canonical sections durable in the store, then one transaction. Returns only after
 * both are on disk. Whatever goes wrong before that, a caller who leaves included, leaves nothing behind.
 * Throws `BadInput` (`CAR_*`, `ROOT_DIFFERS`, `HASH_MISMATCH`, … naming block or byte; `UPLOAD_TOO_LARGE`), and `STORE_FULL`.
 */
export async function receiveCar(deps: ReceiveDeps, input: ReceiveInput): Promise<Received> {
  const space = new SpaceGuard(deps.store, deps.limits);
  checkUploadBytes(input.declaredBytes ?? 0, deps.limits);
  await space.begin(input.declaredBytes);
  const objectKey = `runs/${randomUUID()}`;
  const sink = new RunSink(() => deps.store.stage(objectKey), deps.groups ?? noBudget);
  try {
    if (deps.groups === undefined) await sink.gatherNothing();
    const body = limitBody(input.body, deps.limits, input.signal);
    const { limits, spillFolder = SYSTEM_FOLDER } = deps;
    const car = await stageCar({ body, pack: input.pack, root: input.root, staged: sink, space, limits, spillFolder });
    try {
      input.signal.throwIfAborted();
      return await keepCar(deps, { input, car, sink, objectKey });
    } finally {
      await car.close();
    }
  } finally {
    // Nothing to abort once it was committed.
    await sink.abort();
  }
}

interface Keep {
  input: ReceiveInput;
  car: StagedCar;
  sink: RunSink;
  objectKey: string;
}

async function keepCar(deps: ReceiveDeps, keep: Keep): Promise<Received> {
  const { car, input, sink } = keep;
  const root = canonicalCid(car.root);
  // A group's uploads are one range each.
  const chunks = car.ranges.length === 1 || car.missing !== undefined ? sink.gathered : undefined;
  const { owner, forPin = false } = input;
  const settled =
    deps.groups !== undefined && chunks !== undefined
      ? await deps.groups.add({ settle: { root, owner, forPin, facts: car }, chunks, signal: input.signal })
      : await settleAlone(deps, root, keep);
  const { uploadId, complete, fresh } = settled;
  const told = { uploadId: uploadId.toString(), root, blocks: car.blockCount, bytes: car.runBytes, complete };
  deps.log.info(told, 'upload.received');
  note(told);
  const known = fresh && {
    at: fresh.at,
    dagBytes: car.dagBytes,
    position: fresh.position,
    proposingPaused: fresh.proposingPaused,
  };
  return { uploadId, cid: car.root.toString(), root, complete, ...(known && { fresh: known }) };
}

/** The object, then the transaction; when that did not happen, or nothing names our object, the object is removed. */
async function settleAlone(deps: ReceiveDeps, root: string, keep: Keep): Promise<GroupSettled> {
  const { car, input, sink, objectKey } = keep;
  const found = await findUpload(deps.kysely, root);
  const needed = decideUpload(found?.standing, car.missing === undefined) !== 'own';
  if (needed) await sink.commit();
  const object = needed ? { key: objectKey, offset: 0 } : undefined;
  const at = deps.clock.now();
  const { owner, forPin = false } = input;
  const attempt = await trySettle(deps, { root, owner, forPin, facts: car, object, at });
  if (attempt.done) return attempt.result;
  // A connection lost at COMMIT leaves it open whether a row names the object: then only sweepOrphans may tell.
  if (needed && !attempt.uncertain) await dropObject(deps, objectKey);
  throw attempt.error;
}
