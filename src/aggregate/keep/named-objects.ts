import type { Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';

/**
 * Those of the keys that something needs. Runs are needed by parts and cuts that name them. Trees and proofs have their
 * aggregate's id in their key, and are needed until this aggregate rests on another one: sealing and releasing write the
 * object long before the row.
 */
export async function listNeededKeys(db: Kysely<DB>, keys: readonly string[]): Promise<Set<string>> {
  const runs = keys.filter((key) => key.startsWith('runs/'));
  const trees = keys.filter((key) => key.startsWith('trees/'));
  const proofs = keys.filter((key) => key.startsWith('proofs/'));
  const cars = keys.filter((key) => key.startsWith('cars/'));
  return new Set([
    ...(await namedRuns(db, runs)),
    ...(await namedTrees(db, trees)),
    ...(await namedProofs(db, proofs)),
    ...(await namedCars(db, cars)),
  ]);
}

async function namedRuns(db: Kysely<DB>, keys: readonly string[]): Promise<string[]> {
  if (keys.length === 0) return [];
  const parts = await db.selectFrom('parts').select('object_key').distinct().where('object_key', 'in', keys).execute();
  const cuts = await db
    .selectFrom('cut_extents')
    .select('object_key')
    .distinct()
    .where('object_key', 'in', keys)
    .execute();
  return [...parts, ...cuts].map((row) => row.object_key);
}

/** A sealed aggregate has one tree, and none once its bytes are released. */
async function namedTrees(db: Kysely<DB>, keys: readonly string[]): Promise<string[]> {
  const aggregates = await aggregatesOf(db, keys);
  return keys.filter((key) => {
    const id = idIn(key);
    // A key of another shape is none of ours to judge.
    if (id === undefined) return true;
    const aggregate = aggregates.get(id);
    if (aggregate === undefined) return false;
    return aggregate.treeKey === null || (aggregate.treeKey === key && !aggregate.released);
  });
}

async function namedProofs(db: Kysely<DB>, keys: readonly string[]): Promise<string[]> {
  const aggregates = await aggregatesOf(db, keys);
  return keys.filter((key) => {
    const id = idIn(key);
    if (id === undefined) return true;
    const aggregate = aggregates.get(id);
    return aggregate !== undefined && (aggregate.proofsKey === null || aggregate.proofsKey === key);
  });
}

/** What was fetched back of released aggregates. */
async function namedCars(db: Kysely<DB>, keys: readonly string[]): Promise<string[]> {
  if (keys.length === 0) return [];
  const rows = await db.selectFrom('restorations').select('object_key').where('object_key', 'in', keys).execute();
  return rows.flatMap((row) => row.object_key ?? []);
}

interface KeptAggregate {
  treeKey: string | null;
  proofsKey: string | null;
  released: boolean;
}

/** `trees/<id>-…` and `proofs/<id>-…`: what the key says of its aggregate. */
function idIn(key: string): string | undefined {
  return /^(?:trees|proofs)\/(\d{1,18})-/.exec(key)?.[1];
}

async function aggregatesOf(db: Kysely<DB>, keys: readonly string[]): Promise<Map<string, KeptAggregate>> {
  const ids = [...new Set(keys.flatMap((key) => idIn(key) ?? []))].map(BigInt);
  if (ids.length === 0) return new Map();
  const rows = await db
    .selectFrom('aggregates')
    .select(['id', 'tree_key', 'proofs_key', 'released_at'])
    .where('id', 'in', ids)
    .execute();
  return new Map(
    rows.map((row) => [
      row.id.toString(),
      { treeKey: row.tree_key, proofsKey: row.proofs_key, released: row.released_at !== null },
    ]),
  );
}
