import { expect, test } from 'vitest';
import { createFastCommp, machineEngine, parseCpuFlags } from '../../src/hashing/commp-engine.ts';
import { createCommp } from '../../src/filecoin/commp/commp.ts';

test('reads the flags of the first processor', () => {
  const text =
    'processor\t: 0\nmodel name\t: X\nflags\t\t: fpu sse4_2 avx sha_ni\nbugs\t: none\n\nprocessor\t: 1\nflags\t\t: fpu\n';
  expect(parseCpuFlags(text)).toEqual(new Set(['fpu', 'sse4_2', 'avx', 'sha_ni']));
});

test('tells that there are none to read', () => {
  expect(parseCpuFlags('processor\t: 0\nFeatures\t: fp asimd sha2\n')).toBeUndefined();
});

test('the fast engine and the default one make the same piece', () => {
  const bytes = Uint8Array.from({ length: 5_000 }, (_, at) => at * 31);
  const [fast, plain] = [createFastCommp(), createCommp()];
  fast.update(bytes);
  plain.update(bytes);
  expect(fast.digest()).toEqual(plain.digest());
  expect(machineEngine()).toBe(machineEngine());
  expect(machineEngine().description).toMatch(/hashtree|WebAssembly|node:crypto/);
});
