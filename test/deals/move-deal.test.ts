import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/** Every source file with the statements on the table deals in it, each from its start to where it is executed. */
const files = globSync('src/**/*.ts').map((path) => ({ path, text: readFileSync(path, 'utf8') }));

function writersOf(pattern: RegExp): string[] {
  return files.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
}

test('nobody but the one door writes the state of a deal', () => {
  const setsState =
    /updateTable\('deals'\)(?:(?!\.execute)[\s\S])*?\.set\((?:(?!\)\s*\.where)[\s\S])*?\b(state|reason_code)\b/;
  const opaque = /updateTable\('deals'\)\s*\.set\(\{ \.\.\.\(moves/;
  expect(writersOf(setsState)).toEqual([]);
  expect(writersOf(opaque)).toEqual(['src/deals/move-deal.ts']);
  expect(writersOf(/state: to,\s*settled_at:/)).toEqual(['src/deals/move-deal.ts']);
  expect(writersOf(/update\s+deals\s+set|replaceInto\('deals'\)/i)).toEqual([]);
});

test('a deal is born in one place', () => {
  expect(writersOf(/insertInto\('deals'\)|insert\s+into\s+deals/i)).toEqual(['src/deals/propose/proposal-store.ts']);
});
