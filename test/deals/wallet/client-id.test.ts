import { expect, it } from 'vitest';
import { keepClientIds } from '../../../src/deals/wallet/client-id.ts';

const signal = new AbortController().signal;

/** A chain that knows an address by one id at its head, and by another, or none, where it is final. */
function scripted(head: string | undefined, final: string | undefined) {
  const state = { head, final, asked: 0 };
  const chain = keepClientIds({
    lookupId: (_address, { tipset }) => {
      state.asked++;
      return Promise.resolve(tipset === undefined ? state.head : state.final);
    },
    finalized: () => Promise.resolve({ key: ['final'], height: 1, timestampSeconds: 0 }),
  });
  return { state, look: (address: string) => chain.lookupId(address, { signal }) };
}

it('asks once for an id that is final', async () => {
  const { state, look } = scripted('f0101', 'f0101');
  expect([await look('f1a'), await look('f1a')]).toEqual(['f0101', 'f0101']);
  expect(state.asked).toBe(2);
});

it('asks again for what a reorg may still change', async () => {
  const { state, look } = scripted(undefined, undefined);
  expect(await look('f1a')).toBeUndefined();
  state.head = 'f0101';
  expect(await look('f1a')).toBe('f0101');
  state.head = 'f0102';
  expect(await look('f1a')).toBe('f0102');
});
