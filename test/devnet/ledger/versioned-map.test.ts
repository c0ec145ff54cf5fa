import fc from 'fast-check';
import { expect, it } from 'vitest';

import { VersionedMap } from '../../../src/devnet/ledger/versioned-map.ts';

type Step = { kind: 'set'; key: string; value: number | undefined; rise: number } | { kind: 'cut'; depth: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('set' as const),
    key: fc.constantFrom('a', 'b', 'c'),
    value: fc.option(fc.integer(), { nil: undefined }),
    rise: fc.integer({ min: 0, max: 2 }),
  }),
  fc.record({ kind: fc.constant('cut' as const), depth: fc.integer({ min: 1, max: 4 }) }),
);

it('answers as a list of all writes does, at every height and after every cut', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const map = new VersionedMap<string, number>();
      let writes: { key: string; value: number | undefined; height: number }[] = [];
      let height = 0;
      for (const one of steps) {
        if (one.kind === 'set') {
          height += one.rise;
          map.set(one.key, one.value, height);
          writes.push({ key: one.key, value: one.value, height });
        } else {
          height = Math.max(0, height - one.depth);
          map.truncate(height);
          writes = writes.filter((write) => write.height < height);
        }
        for (const key of ['a', 'b', 'c']) {
          for (const before of [0, height - 1, height, height + 1, Number.POSITIVE_INFINITY]) {
            const last = writes.findLast((write) => write.key === key && write.height < before);
            expect(map.get(key, before)).toBe(last?.value);
          }
        }
      }
    }),
  );
});

it('refuses a write below an earlier one', () => {
  const map = new VersionedMap<string, number>();
  map.set('a', 1, 5);
  expect(() => map.set('a', 2, 4)).toThrow(/behind/);
});
