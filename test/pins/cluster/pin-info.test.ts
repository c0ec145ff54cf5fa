import { expect, test } from 'vitest';
import { judgePeers, readPinInfo } from '../../../src/pins/cluster/pin-info.ts';

const ROOT = 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi';

/** As a real cluster of two peers (1.1.6) answered: an error on one while the other was at it. */
const VERBATIM = `{"cid":"${ROOT}","name":"missing","allocations":["12D3KooWLKQNbyyYjhbfdRx3RPZmyVkbRBzEZtPutNKe5dBQarXd","12D3KooWEjCJP8LGqk9BKKhVWMBYe3iRftB8UMeDuZwUzkxvgU4u"],"origins":[],"created":"2026-11-23T02:54:25Z","metadata":null,"peer_map":{"12D3KooWEjCJP8LGqk9BKKhVWMBYe3iRftB8UMeDuZwUzkxvgU4u":{"peername":"peer1","ipfs_peer_id":"12D3KooWFBuCHGbv4diyzifmtpsytfuvJ3XfdHGA8E3vHcpiCoQg","status":"pin_error","timestamp":"2026-11-23T02:54:25.45135001Z","error":"IPFS error (pin/add?arg=${ROOT}\\u0026recursive=true\\u0026progress=true). Code: 500. Message: pin: block was not found locally (offline): ipld: could not find ${ROOT}","attempt_count":1,"priority_pin":true},"12D3KooWLKQNbyyYjhbfdRx3RPZmyVkbRBzEZtPutNKe5dBQarXd":{"peername":"peer2","ipfs_peer_id":"12D3KooWQAqtDgsQmWsqPuPRrQoi4G2rNnBhTYbVQzKMw8puYGjm","status":"pinning","timestamp":"2026-11-23T02:54:25.450364029Z","error":"","attempt_count":1,"priority_pin":true}}}`;

const peers = (...statuses: string[]) =>
  Object.fromEntries(statuses.map((status, nth) => [`peer${nth}`, { status, error: '' }]));

test('a line of a real cluster', () => {
  expect(readPinInfo(VERBATIM)).toEqual({ root: ROOT, sight: { kind: 'pinning' } });
  const timedOut = VERBATIM.replace('"status":"pinning"', '"status":"pin_error"');
  expect(readPinInfo(timedOut)?.sight).toMatchObject({
    kind: 'error',
    error: expect.stringMatching(/^pin_error: IPFS error .*block was not found locally/),
  });
});

test.each([
  [['pinned', 'pin_error'], 'pinned'],
  [['pin_error', 'pinned', 'pinning'], 'pinned'],
  [['pin_queued', 'pinning'], 'pinning'],
  [['pin_error', 'pin_queued'], 'queued'],
  [['pin_error', 'unpinned'], 'error'],
  [['cluster_error'], 'error'],
  [['cluster_error', 'remote'], 'error'],
  [['remote', 'pinned'], 'pinned'],
  [['unpinned', 'unpinned'], 'lost'],
  [['unpinning', 'unpinned'], 'lost'],
  [['unpin_error'], 'lost'],
  [['unexpectedly_unpinned'], 'lost'],
  [['remote', 'remote'], 'lost'],
  [[], 'lost'],
  // A state of a version to come is none that we may call pinned.
  [['pinned_soon'], 'lost'],
] as [string[], string][])('the best of %j is %s', (statuses, kind) => {
  expect(judgePeers(peers(...statuses)).kind).toBe(kind);
});

test('both versions of a CID are one upload', () => {
  const v0 = 'QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n';
  const line = JSON.stringify({ cid: v0, peer_map: peers('pinned') });
  expect(readPinInfo(line)).toEqual({
    root: 'bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku',
    sight: { kind: 'pinned' },
  });
});

test.each([
  '',
  '{',
  'null',
  '[]',
  '{"cid":"nonsense","peer_map":{}}',
  `{"cid":"${ROOT}"}`,
  `{"cid":"${ROOT}","peer_map":{"p":{"status":1}}}`,
  VERBATIM.slice(0, -20),
])('what is no whole line says nothing: %s', (line) => {
  expect(readPinInfo(line)).toBeUndefined();
});
