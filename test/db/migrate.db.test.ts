import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sql } from 'kysely';
import { migrate } from '../../src/db/migrate.ts';
import { testDatabase } from '../support/database.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** A migrated database emptied of everything, and a folder of migrations of the test's own. */
async function emptyDatabase() {
  const db = await testDatabase();
  const folder = await temporaryFolder();
  await sql`drop schema public cascade; create schema public`.execute(db.kysely);
  const write = (name: string, text: string) => writeFile(join(folder.path, name), text);
  const dispose = async () => {
    await folder[Symbol.asyncDispose]();
    await db[Symbol.asyncDispose]();
  };
  return { ...db, folder: folder.path, write, [Symbol.asyncDispose]: dispose };
}

describe('migrate', () => {
  it('applies each file once, also when many processes start at the same moment', async () => {
    await using db = await emptyDatabase();
    await db.write('0001_one.sql', 'create table one (id integer); select pg_sleep(0.1);');
    await db.write('0002_two.sql', 'create table two (id integer);');
    const applied = await Promise.all([
      migrate(db.url, db.folder),
      migrate(db.url, db.folder),
      migrate(db.url, db.folder),
    ]);
    expect(applied.flat()).toEqual(['0001_one.sql', '0002_two.sql']);
    const { rows } = await db.pool.query('select version, name from schema_migrations order by version');
    expect(rows).toEqual([
      { version: 1, name: 'one' },
      { version: 2, name: 'two' },
    ]);
  });

  it('leaves nothing of a file that fails, and keeps those before it', async () => {
    await using db = await emptyDatabase();
    await db.write('0001_one.sql', 'create table one (id integer);');
    await db.write('0002_two.sql', 'create table two (id integer); select no_such_function();');
    await expect(migrate(db.url, db.folder)).rejects.toMatchObject({
      code: 'MIGRATION_FAILED',
      message: expect.stringContaining('0002_two.sql'),
    });
    const { rows } = await db.pool.query(
      `select to_regclass('one') is not null as one, to_regclass('two') is not null as two`,
    );
    expect(rows).toEqual([{ one: true, two: false }]);
    await db.write('0002_two.sql', 'create table two (id integer);');
    expect(await migrate(db.url, db.folder)).toEqual(['0002_two.sql']);
  });

  it('refuses to go on when an applied file was changed', async () => {
    await using db = await emptyDatabase();
    await db.write('0001_one.sql', 'create table one (id integer);');
    await migrate(db.url, db.folder);
    await db.write('0001_one.sql', 'create table one (id bigint);');
    await expect(migrate(db.url, db.folder)).rejects.toMatchObject({ code: 'MIGRATION_REFUSED' });
  });

  it('applies the views anew each time', async () => {
    await using db = await emptyDatabase();
    await db.write('0001_one.sql', 'create table one (id integer);');
    await db.write('views.sql', 'create or replace view seen as select 1 as value;');
    await migrate(db.url, db.folder);
    await db.write('views.sql', 'create or replace view seen as select 2 as value;');
    expect(await migrate(db.url, db.folder)).toEqual([]);
    expect((await db.pool.query('select value from seen')).rows).toEqual([{ value: 2 }]);
  });

  it('finds nothing to do in the template that tests are cloned from', async () => {
    await using db = await testDatabase();
    expect(await migrate(db.url)).toEqual([]);
  });
});
