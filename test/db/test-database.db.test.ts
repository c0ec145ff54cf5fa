import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { testDatabase } from '../support/database.ts';

describe('testDatabase', () => {
  it('is a database of its own, with the tables and the queues', async () => {
    await using one = await testDatabase();
    await using two = await testDatabase();
    await one.kysely.insertInto('owners').values({ name: 'somebody' }).execute();
    expect(await two.kysely.selectFrom('owners').selectAll().execute()).toEqual([]);
    const { rows } = await two.pool.query('select name from pgboss.queue order by name');
    expect(rows.map(({ name }) => name)).toEqual(expect.arrayContaining(['send', 'stow']));
  });

  it('fails a test that leaves a connection open', async () => {
    const db = await testDatabase();
    const client = new pg.Client({ connectionString: db.url, application_name: 'left behind' });
    client.on('error', () => undefined);
    await client.connect();
    await expect(db[Symbol.asyncDispose]()).rejects.toThrow(/left behind/);
  });

  it('fails a test that does not release a client of the pool', async () => {
    const db = await testDatabase();
    const client = await db.pool.connect();
    client.on('error', () => undefined);
    await expect(db[Symbol.asyncDispose]()).rejects.toThrow(/left database connections open:\s+test: /);
    client.release();
  });
});
