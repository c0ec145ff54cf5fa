import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB, UploadState } from '../../db/tables.ts';
import { tellEvent } from '../../db/tell-event.ts';
import type { Log } from '../../log/log.ts';
import { forgetBytes } from '../delete-of-upload.ts';
import { claimUpload } from '../receive/upload-store.ts';
import { dropPin } from './drop-pin.ts';

interface RemoveDeps {
  kysely: Kysely<DB>;
  clock: Clock;
  log: Log;
}

/** `kept`: others own it too, or a run of it lies in an aggregate, where it stays. */
type Ended = 'not_owned' | 'kept' | 'removed';

const REMOVABLE: readonly UploadState[] = ['incomplete', 'waiting', 'failed'];

/**
 * The owner owns the upload of this root (CIDv1 base32) no more. An upload that nobody owns and that lies in no aggregate
 * is removed in the same transaction; its objects and the rows of its blocks go with the sweeps. Whoever sends a part of
 * it, stows it or ends another ownership waits for its row, so that one comes before the other.
 */
export async function endOwnership(deps: RemoveDeps, given: { root: string; owner: string }): Promise<Ended> {
  const at = deps.clock.now();
  const ended = await deps.kysely.transaction().execute((trx) => endOwnershipWithin(trx, { ...given, at }));
  if (ended !== 'not_owned') deps.log.info({ ...given, ended }, 'upload.owner_left');
  return ended;
}

/** As `endOwnership`, in the transaction of the caller. */
export async function endOwnershipWithin(
  trx: Kysely<DB>,
  { root, owner, at }: { root: string; owner: string; at: Date },
): Promise<Ended> {
  const upload = await claimUpload(trx, root);
  if (upload === undefined || !(await endOwner(trx, upload.id, { owner, at }))) return 'not_owned';
  const { id, state } = upload;
  await tellEvent(trx, { upload: id }, { from: state, to: state, at, reason: 'OWNER_LEFT', detail: owner });
  if (await isOwned(trx, id)) return 'kept';
  await dropPin(trx, id);
  if (!REMOVABLE.includes(state) || (await isPlaced(trx, id))) return 'kept';
  await removeUpload(trx, { id, state, at });
  return 'removed';
}

async function endOwner(trx: Kysely<DB>, uploadId: bigint, { owner, at }: { owner: string; at: Date }) {
  const result = await trx
    .updateTable('upload_owners')
    .set({ ended_at: at })
    .where('upload_id', '=', uploadId)
    .where('ended_at', 'is', null)
    .where('owner_id', 'in', (eb) => eb.selectFrom('owners').select('id').where('name', '=', owner))
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

async function isOwned(trx: Kysely<DB>, uploadId: bigint): Promise<boolean> {
  const query = trx.selectFrom('upload_owners').select('owner_id').where('upload_id', '=', uploadId);
  return (await query.where('ended_at', 'is', null).limit(1).executeTakeFirst()) !== undefined;
}

/**
 * An upload that is cut waits until all of it is placed, and some of it may lie in an aggregate already. Where one lay
 * before it was sent anew counts for nothing.
 */
async function isPlaced(trx: Kysely<DB>, uploadId: bigint): Promise<boolean> {
  const query = trx
    .selectFrom('placements')
    .select('seq')
    .where('upload_id', '=', uploadId)
    .where('topped_up', '=', false);
  return (await query.limit(1).executeTakeFirst()) !== undefined;
}

/** The row stays, as uploads' rows do, without what was known of its bytes. */
async function removeUpload(trx: Kysely<DB>, { id, state, at }: { id: bigint; state: UploadState; at: Date }) {
  await forgetBytes(trx, id);
  const nothing = { run_bytes: null, dag_bytes: null, block_count: null, missing_count: null, missing_first: null };
  const result = await trx
    .updateTable('uploads')
    .set({ state: 'removed', ...nothing, failure: null, changed_at: at })
    .where('id', '=', id)
    .where('state', '=', state)
    .executeTakeFirst();
  if (result.numUpdatedRows !== 1n)
    throw new Error(`the upload ${id} left the state ${state} while its row was locked`);
  await tellEvent(trx, { upload: id }, { from: state, to: 'removed', at, reason: 'NO_OWNER' });
}
