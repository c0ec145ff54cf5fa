import type { Kysely } from 'kysely';
import type { DB, UploadState } from '../db/tables.ts';
import { unreachable } from '../errors.ts';
import type { Jobs } from '../jobs.ts';
import * as rows from './upload-store.ts';

/** What one received CAR does to the upload of its root. */
type Step = 'create' | 'advance' | 'add-part' | 'own';

/** Pure. A complete upload changes no more; anything else becomes what the new CAR makes of it. */
export function decideUpload(state: UploadState | undefined, complete: boolean): Step {
  switch (state) {
    case undefined:
      return 'create';
    case 'waiting':
    case 'stowed':
      return 'own';
    case 'incomplete':
      return complete ? 'advance' : 'add-part';
    case 'failed':
      return 'advance';
    default:
      return unreachable(state);
  }
}

export interface SettleInput {
  root: string;
  owner: string;
  facts: rows.UploadFacts;
  /** Undefined when the bytes are already held by an earlier part. */
  objectKey: string | undefined;
  at: Date;
}

interface Settled {
  uploadId: bigint;
  /** Whether a row names the object; where it does not, nobody needs the object. */
  named: boolean;
}

/**
 * Everything the database learns from one received CAR, within the caller's transaction: owner, upload, part, event,
 * and the job that wakes stowing. Uploads of one root wait for each other on its row.
 */
export async function settleUpload(trx: Kysely<DB>, jobs: Pick<Jobs, 'send'>, input: SettleInput): Promise<Settled> {
  const created = await createUpload(trx, input);
  if (created !== undefined) return finish(trx, jobs, { input, uploadId: created, step: 'create', from: null });
  const found = await rows.claimUpload(trx, input.root);
  if (found === undefined) throw new Error(`the upload ${input.root} was deleted: uploads never are`);
  const step = decideUpload(found.state, input.facts.missing === undefined);
  if (step === 'advance' && !(await rows.advanceUpload(trx, found, input.facts, input.at))) {
    throw new Error(`the upload ${input.root} left the state ${found.state} while its row was locked`);
  }
  return finish(trx, jobs, { input, uploadId: found.id, step, from: found.state });
}

/** Only tried where no row was seen: an insert that conflicts would use up an id of the sequence each time. */
async function createUpload(trx: Kysely<DB>, { root, facts, at }: SettleInput): Promise<bigint | undefined> {
  if ((await rows.findUpload(trx, root)) !== undefined) return undefined;
  return rows.insertUpload(trx, root, facts, at);
}

interface Finish {
  input: SettleInput;
  uploadId: bigint;
  step: Step;
  from: UploadState | null;
}

async function finish(trx: Kysely<DB>, jobs: Pick<Jobs, 'send'>, change: Finish): Promise<Settled> {
  const { input, uploadId, step, from } = change;
  const { facts, at, objectKey } = input;
  const complete = facts.missing === undefined;
  await rows.addOwner(trx, uploadId, input.owner, at);
  const named = step !== 'own' && objectKey !== undefined;
  if (named) {
    const part = { objectKey, lengthBytes: facts.runBytes, blockCount: facts.blockCount, runSeq: complete ? 0 : null };
    await rows.insertPart(trx, uploadId, part, at);
  }
  if (step === 'create' || step === 'advance') {
    await rows.insertUploadEvent(trx, uploadId, { from, facts, at });
    if (complete) await jobs.send(trx, 'stow', {});
  }
  return { uploadId, named };
}
