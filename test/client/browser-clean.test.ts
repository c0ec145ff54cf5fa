import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';

const DOOR = join(import.meta.dirname, '../../src/client/client.ts');
/** Of Node alone; `process` and `require` would need a shim too. */
const NODE_ONLY = /\b(?:Buffer|process|require|__dirname)\b(?=[.([])/;

interface Loaded {
  file: string;
  packages: string[];
  code: string;
}

/** All source that importing the door loads: type imports are gone when it runs. */
function load(file: string, seen = new Map<string, Loaded>()): Map<string, Loaded> {
  if (seen.has(file)) return seen;
  const code = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
  const imports = [...code.matchAll(/^(?:import|export)(?! type\b)[^;]*?from '([^']+)'/gm)].map(
    ([, from]) => from ?? '',
  );
  seen.set(file, { file, code, packages: imports.filter((from) => !from.startsWith('.')) });
  for (const from of imports.filter((one) => one.startsWith('.'))) load(join(dirname(file), from), seen);
  return seen;
}

test('the client loads nothing that only Node has', () => {
  const loaded = [...load(DOOR).values()];
  expect(loaded.length).toBeGreaterThan(10);
  for (const { file, code, packages } of loaded) {
    expect(
      packages.filter(
        (name) => !/^(@ipld\/dag-cbor|@noble\/hashes\/\w+\.js|eventsource-parser|multiformats(\/[\w/-]+)?)$/.test(name),
      ),
      file,
    ).toEqual([]);
    expect(NODE_ONLY.exec(code)?.[0], file).toBeUndefined();
  }
});
