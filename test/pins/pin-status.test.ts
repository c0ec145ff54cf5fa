import { expect, test } from 'vitest';
import { pinStatus } from '../../src/pins/pin-status.ts';

const held = { isHeld: true, isDamaged: false, pin: null };

test('without a cluster an upload is pinned as long as every block is stored, and sound', () => {
  expect(pinStatus({ ...held, state: 'incomplete' }, false)).toBe('queued');
  expect(pinStatus({ ...held, state: 'waiting' }, false)).toBe('pinned');
  expect(pinStatus({ ...held, state: 'stowed' }, false)).toBe('pinned');
  expect(pinStatus({ ...held, state: 'failed' }, false)).toBe('failed');
  expect(pinStatus({ ...held, state: 'removed' }, false)).toBe('failed');
  expect(pinStatus({ ...held, state: 'stowed', isHeld: false }, false)).toBe('failed');
  expect(pinStatus({ ...held, state: 'waiting', isDamaged: true }, false)).toBe('failed');
});

test('with a cluster its word counts, and until it has one nothing is pinned', () => {
  expect(pinStatus({ ...held, state: 'incomplete' }, true)).toBe('queued');
  expect(pinStatus({ ...held, state: 'failed' }, true)).toBe('failed');
  expect(pinStatus({ ...held, state: 'waiting' }, true)).toBe('queued');
  expect(pinStatus({ ...held, state: 'waiting', pin: 'pinning' }, true)).toBe('pinning');
  expect(pinStatus({ ...held, state: 'stowed', pin: 'failed' }, true)).toBe('failed');
  expect(pinStatus({ ...held, state: 'stowed', pin: 'unpinned' }, true)).toBe('failed');
  // The bytes are the cluster's: what became of ours is no matter.
  expect(pinStatus({ state: 'stowed', isHeld: false, isDamaged: true, pin: 'pinned' }, true)).toBe('pinned');
});

test('what a cluster once said counts for nothing when none is configured', () => {
  expect(pinStatus({ ...held, state: 'waiting', pin: 'failed' }, false)).toBe('pinned');
});
