import type { Kysely } from 'kysely';
import type { DB, UploadState } from '../../db/tables.ts';
import { LadingError, unreachable } from '../../errors.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { OnComplete } from './receive.ts';
import { followLinks } from './follow-links.ts';
import { noteSent } from './note-sent.ts';
import { forgetBlocks } from './forget-blocks.ts';
import * as parts from './part-store.ts';
import type { DagFacts } from './upload-dag.ts';
import * as rows from './upload-store.ts';

/** What one received CAR does to the upload of its root. */
type Step = 'take-whole' | 'add-part' | 'own';

/**
 * Pure. A complete upload changes no more, as long as anything holds it; a complete CAR makes any other one, a removed one
 * too, complete by itself.
 */
export function decideUpload(standing: rows.Standing | undefined, complete: boolean): Step {
  switch (standing) {
    case 'waiting':
    case 'stowed':
      return 'own';
    case undefined:
    case 'incomplete':
    case 'failed':
    case 'removed':
    case 'lost':
      return complete ? 'take-whole' : 'add-part';
    default:
      return unreachable(standing);
  }
}

/** The object that holds the sections, and where in it they begin. */
interface StoredAt {
  key: string;
  offset: number;
}

export interface SettleInput {
  root: string;
  owner: string;
  /** As ReceiveInput has it. */
  forPin: boolean;
  /** What is missing may be a guess as long as it is something. */
  facts: DagFacts;
  /** Undefined when the bytes were not kept, because the upload was seen complete. */
  object: StoredAt | undefined;
  at: Date;
}

export interface Settled {
  uploadId: bigint;
  complete: boolean;
  /** Objects that nobody needs any more: ours, or those of parts that a complete CAR replaces. */
  unneeded: string[];
}

interface Claimed {
  trx: Kysely<DB>;
  input: SettleInput;
  uploadId: bigint;
  /** Null when this transaction made it. */
  from: UploadState | null;
  standing: rows.Standing | undefined;
}

/**
 * Everything the database learns from one received CAR, within the caller's transaction: owner, upload, parts, event,
 * and the job that wakes stowing. Uploads of one root wait for each other on its row, so that the part that makes it
 * complete sees all others. Throws `PART_TOO_SCATTERED`.
 */
export async function settleUpload(
  trx: Kysely<DB>,
  { jobs, onComplete }: { jobs: Pick<Jobs, 'send'>; onComplete?: OnComplete | undefined },
  input: SettleInput,
): Promise<Settled> {
  if (!input.forPin) await noteSent(trx, [input]);
  const claimed = await claim(trx, input);
  await rows.addOwner(trx, claimed.uploadId, input.owner, input.at);
  const settled = await applyStep(claimed);
  if (settled.completed) await jobs.send(trx, 'stow', {});
  if (settled.complete) await onComplete?.(trx, [claimed.uploadId]);
  return { uploadId: claimed.uploadId, complete: settled.complete, unneeded: settled.unneeded };
}

async function claim(trx: Kysely<DB>, input: SettleInput): Promise<Claimed> {
  // Looked up first: an insert that conflicts would use up an id of the sequence each time.
  const known = await rows.findUpload(trx, input.root);
  const created = known === undefined ? await rows.insertUpload(trx, input.root, input.facts, input.at) : undefined;
  if (created !== undefined) return { trx, input, uploadId: created, from: null, standing: undefined };
  const found = await rows.claimUpload(trx, input.root);
  if (found === undefined) throw new Error(`the upload ${input.root} was deleted: uploads never are`);
  if (found.state === 'failed') await parts.deleteUncuttable(trx, found.id);
  if (await holdsNothing(trx, found)) await forgetBlocks(trx, found.id);
  // Looked up again, now that nobody else changes it.
  const standing = found.state === 'stowed' ? (await rows.findUpload(trx, input.root))?.standing : found.state;
  if (standing === 'lost') await beginAnew(trx, found.id);
  return { trx, input, uploadId: found.id, from: found.state, standing };
}

/** Its deals and its old places stay for its history, and with them the parts that it was cut into. */
async function beginAnew(trx: Kysely<DB>, uploadId: bigint): Promise<void> {
  await forgetBlocks(trx, uploadId);
  await rows.giveUpPlaces(trx, uploadId);
}

/** Its parts were removed or let go: what is still written down of their blocks is of bytes that are gone. */
async function holdsNothing(trx: Kysely<DB>, { id, state }: rows.UploadRow): Promise<boolean> {
  return state === 'removed' || (state === 'failed' && !(await parts.hasParts(trx, id)));
}

interface Applied {
  complete: boolean;
  /** It became complete in this transaction. */
  completed: boolean;
  unneeded: string[];
}

async function applyStep(claimed: Claimed): Promise<Applied> {
  const { facts, object } = claimed.input;
  const step = decideUpload(claimed.standing, facts.missing === undefined);
  if (step === 'own') {
    return { complete: true, completed: false, unneeded: object === undefined ? [] : [object.key] };
  }
  if (object === undefined) throw removedMeanwhile(claimed.input.root);
  return step === 'take-whole' ? takeWhole(claimed, object) : addPart(claimed, object);
}

/** It was seen complete, so these bytes were not kept. */
function removedMeanwhile(root: string): LadingError {
  const message = `the upload ${root} was removed while this was received: send it again`;
  return new LadingError('UNAVAILABLE', message, { retry: 'later' });
}

async function takeWhole(claimed: Claimed, object: StoredAt): Promise<Applied> {
  const { trx, input, uploadId } = claimed;
  const unneeded = claimed.from === null ? [] : await parts.deleteSpareParts(trx, uploadId);
  const whole = input.facts.ranges.map((range) => ({
    ...range,
    objectKey: object.key,
    offset: object.offset + range.offset,
  }));
  await parts.insertParts(trx, uploadId, whole, { at: input.at, firstSeq: 0 });
  await becomes(claimed, input.facts);
  return { complete: true, completed: true, unneeded };
}

async function addPart(claimed: Claimed, object: StoredAt): Promise<Applied> {
  const { trx, input, uploadId, from } = claimed;
  const ranges = await parts.addPartBlocks(trx, uploadId, {
    objectKey: object.key,
    offset: object.offset,
    sections: input.facts.sections(),
  });
  await parts.insertParts(trx, uploadId, ranges, { at: input.at });
  const sum = await parts.sumParts(trx, uploadId);
  const missing = await followLinks(trx, { id: uploadId, root: input.root });
  const totals = missing === undefined ? await parts.placeParts(trx, uploadId) : { ...sum, dagBytes: 0 };
  const isNew = ranges.length > 0;
  if (from !== 'incomplete' || missing === undefined) await becomes(claimed, { ...totals, missing });
  else if (isNew) await rows.updateMissing(trx, uploadId, missing, input.at);
  return { complete: missing === undefined, completed: missing === undefined, unneeded: isNew ? [] : [object.key] };
}

/** The row of a new upload says already what it is, unless following its links told more. */
async function becomes({ trx, input, uploadId, from, standing }: Claimed, facts: rows.UploadFacts): Promise<void> {
  const said = from ?? (input.facts.missing === undefined ? 'waiting' : 'incomplete');
  if (from === null && facts.missing !== undefined) await rows.updateMissing(trx, uploadId, facts.missing, input.at);
  else if (said !== 'waiting' && !(await rows.advanceUpload(trx, { id: uploadId, state: said }, facts, input.at))) {
    throw new Error(`the upload ${input.root} left the state ${said} while its row was locked`);
  }
  const reason = standing === 'lost' ? 'SENT_ANEW' : undefined;
  await rows.insertUploadEvent(trx, uploadId, { from, facts, at: input.at, reason });
}
