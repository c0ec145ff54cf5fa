import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { renderSnapshot, renderTables, SNAPSHOT_FILE, TABLES_FILE } from '../../scripts/schema-files.ts';
import { testDatabase } from '../support/database.ts';

/** When one of these fails: `npx node scripts/generate-schema.ts`, and look at what changed. */
describe('the files made from the database', () => {
  it('src/db/tables.ts is up to date', async () => {
    await using db = await testDatabase();
    expect(await renderTables(db.kysely)).toBe(await readFile(TABLES_FILE, 'utf8'));
  });

  it('migrations/schema.snapshot.sql is up to date', async () => {
    await using db = await testDatabase();
    expect(await renderSnapshot(db.pool)).toBe(await readFile(SNAPSHOT_FILE, 'utf8'));
  });

  it('the snapshot tells every kind of change', async () => {
    await using db = await testDatabase();
    const changes = [
      `alter type upload_state add value 'extra'`,
      `alter table owners add column extra text`,
      `alter table owners alter column name drop not null`,
      `alter table deals alter column attempts set default 1`,
      `alter table owners drop constraint owners_name_given`,
      `drop index uploads_waiting`,
      `create or replace view outbox as select * from events`,
      `drop trigger deals_change_has_event on deals`,
      `create or replace function deal_has_event() returns trigger language plpgsql as 'begin return null; end'`,
      `comment on table owners is 'other'`,
    ];
    let before = await renderSnapshot(db.pool);
    for (const change of changes) {
      await db.pool.query(change);
      const after = await renderSnapshot(db.pool);
      expect(after, change).not.toBe(before);
      before = after;
    }
  });
});
