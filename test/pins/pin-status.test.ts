import { expect, test } from 'vitest';
import { pinStatus } from '../../src/pins/pin-status.ts';

test('without a cluster an upload is pinned once every block is stored', () => {
  expect(pinStatus('incomplete')).toBe('queued');
  expect(pinStatus('waiting')).toBe('pinned');
  expect(pinStatus('stowed')).toBe('pinned');
  expect(pinStatus('failed')).toBe('failed');
});
