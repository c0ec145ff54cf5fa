import { readFileSync } from 'node:fs';
import { glob, readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

/** The text between the parenthesis at `open` and the one that closes it; strings hold none in log calls. */
function argumentsAt(text: string, open: number): string {
  let depth = 0;
  for (let at = open; at < text.length; at += 1) {
    if (text[at] === '(') depth += 1;
    else if (text[at] === ')' && (depth -= 1) === 0) return text.slice(open + 1, at);
  }
  throw new Error('a call that does not end');
}

/** Names in calls such as `log.warn(…, 'a.b')`, `this.#log[level](…, 'a.b')`, and of conditions in them. */
function eventsOf(text: string): string[] {
  return [...text.matchAll(/\blog(?:\.(?:debug|info|warn|error)|\[[^\]]+\](?!\s*;))\(|\btell\(/gi)].flatMap(
    ({ 0: call, index }) =>
      [...argumentsAt(text, index + call.length - 1).matchAll(/'([^'\n]*\.[^'\n]*)'/g)].map(([, name = '']) => name),
  );
}

const doc = readFileSync(new URL('../../docs/logs.md', import.meta.url), 'utf8');
const documented = doc
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));

test('the page about logs names the events that there are, each once, and no others', async () => {
  const found = new Set<string>();
  let source = '';
  for await (const file of glob('src/**/*.ts')) {
    // The devnet is other people's software, and the page of the dashboard runs in a browser.
    if (/^src\/(devnet|dashboard\/page)\//.test(file)) continue;
    const text = await readFile(file, 'utf8');
    source += text;
    for (const name of eventsOf(text)) if (/^[a-z_]+\.[a-z_]+$/.test(name)) found.add(name);
  }
  expect(found.size).toBeGreaterThan(80);
  expect([...found].filter((name) => !documented.includes(name))).toEqual([]);
  expect(documented.filter((name) => !source.includes(`'${name}'`))).toEqual([]);
  expect(documented.length).toBe(new Set(documented).size);
});

test('the reader of events finds them', () => {
  expect(eventsOf(`log.info({ a: f(x) }, 'a.one'); this.#log[b ? 'debug' : 'info'](line, 'a.two');`)).toEqual([
    'a.one',
    'a.two',
  ]);
  expect(eventsOf(`deps.log.warn({\n x },\n isGone ? 'a.one' : 'a.two',\n);`)).toEqual(['a.one', 'a.two']);
});
