import { describe, expect, it } from 'vitest';
import { constraintOf, isSerializationFailure, isUniqueViolation, sqlStateOf } from '../../src/db/sqlstate.ts';
import { testDatabase } from '../support/database.ts';

async function faultOf(act: Promise<unknown>): Promise<unknown> {
  return act.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('sqlstate', () => {
  it('knows a key that exists, by its constraint, also inside another fault', async () => {
    await using db = await testDatabase();
    const insert = () => db.kysely.insertInto('owners').values({ name: 'somebody' }).execute();
    await insert();
    const error = await faultOf(insert());
    expect(isUniqueViolation(error)).toBe(true);
    expect(isUniqueViolation(error, 'owners_name_unique')).toBe(true);
    expect(isUniqueViolation(error, 'uploads_root_unique')).toBe(false);
    expect(isUniqueViolation(new Error('could not save', { cause: error }))).toBe(true);
    expect(isSerializationFailure(error)).toBe(false);
  });

  it('names the constraint of other refusals', async () => {
    await using db = await testDatabase();
    const error = await faultOf(db.kysely.insertInto('owners').values({ name: '' }).execute());
    expect(constraintOf(error)).toBe('owners_name_given');
    expect(sqlStateOf(error)).toBe('23514');
    expect(isUniqueViolation(error)).toBe(false);
  });

  it('knows transactions that should be run again', async () => {
    await using db = await testDatabase();
    await db.kysely.insertInto('owners').values({ name: 'somebody' }).execute();
    const rename = (name: string) =>
      db.kysely
        .transaction()
        .setIsolationLevel('repeatable read')
        .execute(async (trx) => {
          await trx.selectFrom('owners').selectAll().execute();
          await db.kysely
            .updateTable('owners')
            .set({ name: `${name}-first` })
            .execute();
          await trx.updateTable('owners').set({ name }).execute();
        });
    expect(isSerializationFailure(await faultOf(rename('other')))).toBe(true);
  });

  it("has nothing to say of faults that are not the database's", () => {
    expect(sqlStateOf(new Error('no'))).toBeUndefined();
    expect(constraintOf(undefined)).toBeUndefined();
    expect(isUniqueViolation('23505')).toBe(false);
  });
});
