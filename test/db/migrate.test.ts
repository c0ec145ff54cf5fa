import { describe, expect, it } from 'vitest';
import { planMigrations, readMigrations, type Migration } from '../../src/db/migrate.ts';

function file(version: number, name = `step${version}`, checksum = `sum${version}`): Migration {
  return { version, name, checksum, sql: 'select 1' };
}

const refused = (message: RegExp) =>
  expect.objectContaining({ code: 'MIGRATION_REFUSED', message: expect.stringMatching(message) });

describe('planMigrations', () => {
  it('applies what is not applied, in order', () => {
    const files = [file(1), file(2), file(3)];
    expect(planMigrations(files, [])).toEqual(files);
    expect(planMigrations(files, [file(1)])).toEqual([file(2), file(3)]);
    expect(planMigrations(files, files)).toEqual([]);
  });

  it.each([
    ['a changed file', [file(1, 'step1', 'other')], [file(1)], /0001_step1\.sql was changed/],
    ['a missing file', [file(1, 'renamed')], [file(1)], /0001_step1\.sql was applied, and its file is gone/],
    ['a database that is newer', [file(1)], [file(1), file(2)], /newer than this program.*0002_step2/],
    ['a gap in the files', [file(1), file(3)], [], /migration 0002 is missing.*0003_step3/],
    ['a first file that is not 1', [file(2)], [], /migration 0001 is missing/],
    ['two files with one number', [file(1), file(1, 'again')], [], /0001_again/],
    ['a gap in the journal', [file(1), file(2)], [file(2)], /lacks migration 1/],
  ])('refuses %s', (_, files, applied, message) => {
    expect(() => planMigrations(files, applied)).toThrow(refused(message));
  });
});

describe('readMigrations', () => {
  it('finds ours, with a checksum each', async () => {
    const files = await readMigrations();
    expect(files[0]).toMatchObject({ version: 1, name: 'foundation' });
    for (const { checksum } of files) expect(checksum).toMatch(/^[0-9a-f]{64}$/);
  });
});
