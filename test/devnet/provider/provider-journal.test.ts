import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openJournal } from '../../../src/devnet/provider/provider-journal.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

it('reads back what was appended, and forgets a line that was torn off', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'journal.jsonl');
  const first = openJournal<{ n: number; text: string }>(path);
  expect(first.entries).toEqual([]);
  first.append({ n: 1, text: 'один\n' });
  first.append({ n: 2, text: '' });
  await appendFile(path, '{"n":3,"te');

  const second = openJournal<{ n: number; text: string }>(path);
  expect(second.entries).toEqual([
    { n: 1, text: 'один\n' },
    { n: 2, text: '' },
  ]);
  second.append({ n: 4, text: 'after' });
  expect(openJournal<{ n: number }>(path).entries.map(({ n }) => n)).toEqual([1, 2, 4]);
});

it('starts over when nothing but a torn line is there', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'journal.jsonl');
  await writeFile(path, '{"n":1');
  expect(openJournal(path).entries).toEqual([]);
  expect(await readFile(path, 'utf8')).toBe('');
});

it('does not pass over a whole line that it cannot read', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'journal.jsonl');
  await writeFile(path, '{"n":1\n{"n":2}\n');
  expect(() => openJournal(path)).toThrow();
});
