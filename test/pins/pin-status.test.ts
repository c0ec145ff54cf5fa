import { expect, test } from 'vitest';
import { pinStatus } from '../../src/pins/pin-status.ts';

const kept = { isKept: true, pin: null };

test('without a cluster an upload is pinned as long as every block is stored and sound, or in a deal', () => {
  expect(pinStatus({ ...kept, state: 'incomplete' }, false)).toBe('queued');
  expect(pinStatus({ ...kept, state: 'waiting' }, false)).toBe('pinned');
  expect(pinStatus({ ...kept, state: 'stowed' }, false)).toBe('pinned');
  expect(pinStatus({ ...kept, state: 'failed' }, false)).toBe('failed');
  expect(pinStatus({ ...kept, state: 'removed' }, false)).toBe('failed');
  expect(pinStatus({ ...kept, state: 'stowed', isKept: false }, false)).toBe('failed');
  expect(pinStatus({ ...kept, state: 'waiting', isKept: false }, false)).toBe('failed');
});

test('with a cluster its word counts, and until it has one nothing is pinned', () => {
  expect(pinStatus({ ...kept, state: 'incomplete' }, true)).toBe('queued');
  expect(pinStatus({ ...kept, state: 'failed' }, true)).toBe('failed');
  expect(pinStatus({ ...kept, state: 'waiting' }, true)).toBe('queued');
  expect(pinStatus({ ...kept, state: 'waiting', pin: 'pinning' }, true)).toBe('pinning');
  expect(pinStatus({ ...kept, state: 'stowed', pin: 'failed' }, true)).toBe('failed');
  expect(pinStatus({ ...kept, state: 'stowed', pin: 'unpinned' }, true)).toBe('failed');
  // The bytes are the cluster's: what became of ours is no matter.
  expect(pinStatus({ state: 'stowed', isKept: false, pin: 'pinned' }, true)).toBe('pinned');
});

test('what a cluster once said counts for nothing when none is configured', () => {
  expect(pinStatus({ ...kept, state: 'waiting', pin: 'failed' }, false)).toBe('pinned');
});
