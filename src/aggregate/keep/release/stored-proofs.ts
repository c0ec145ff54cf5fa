import type { Kysely } from 'kysely';
import type { DB } from '../../../db/tables.ts';
import { LadingError } from '../../../errors.ts';
import type { ObjectStore } from '../../../storage/store.ts';
import type { RunProof } from '../../bytes/prove.ts';
import { readProofAt } from './proofs-file.ts';

/**
 * The proof of the run with this seq in an aggregate whose bytes are released: it was verified when it was written. It
 * lists the blocks where their order is no CAR's. Throws
 * `NOT_RELEASED` when there are none because the bytes are kept, `PROOFS_DAMAGED`, and what the store throws.
 */
export async function readStoredProof(
  { db, store }: { db: Kysely<DB>; store: ObjectStore },
  aggregateId: bigint,
  seq: number,
): Promise<RunProof> {
  const query = db.selectFrom('aggregates').select('proofs_key').where('id', '=', aggregateId);
  const key = (await query.where('released_at', 'is not', null).executeTakeFirst())?.proofs_key;
  if (key === undefined || key === null) {
    throw new LadingError('NOT_RELEASED', `aggregate ${aggregateId} has its bytes: its proofs are made from these`);
  }
  const { deals: _none, ...proof } = await readProofAt(store, key, seq);
  return proof;
}
