import { describe, expect, test } from 'vitest';
import { changeLine, statusPicture } from '../../src/cli/status-picture.ts';
import type { Deal, Queueing, UploadStatus } from '../../src/client/client.ts';

const NOW = new Date('2024-05-01T12:00:00.000Z');
const CID = 'bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku';

const pinned: UploadStatus = {
  cid: CID,
  pin: { cid: CID, created: '2024-05-01T10:30:00.123456+00:00', size: 3_145_728, status: 'pinned' },
  deals: [],
};
const waits: Queueing = {
  reason: 'aggregate_filling',
  position: 7,
  aggregateFill: 0.123,
  sealsBy: '2024-05-01T14:30:00.900000+00:00',
  etaActive: { p50: '2024-05-02T12:00:00+00:00', p95: '2024-05-03T18:00:00+00:00' },
};
const deal: Deal = {
  status: 'queued',
  stage: 'accepted',
  lastChanged: '2024-05-01T11:00:00.000000+00:00',
  chainDealID: null,
  datamodelSelector: 'Links/0/Hash',
  statusText: 'accepted by f01000, awaiting publication on chain',
  dealActivation: '2024-05-04T00:00:00+00:00',
  dealExpiration: '2025-10-01T00:00:00+00:00',
  miner: 'f01000',
  pieceCid: 'baga',
  batchRootCid: 'bafy',
};

function picture(status: UploadStatus): string[] {
  return [...statusPicture(status, NOW)].join('\n').split('\n');
}

describe('the picture of an upload', () => {
  test('says what it waits for, since when and until when', () => {
    expect(picture({ ...pinned, queueing: waits })).toEqual([
      CID,
      'stored    yes, 3 MiB, came 2024-05-01 10:30:00 UTC',
      'awaits    more uploads for its aggregate (aggregate_filling, 12 % full, place 7)',
      'sealed by 2024-05-01 14:30:00 UTC (in 2h 30m)',
      'active    likely by 2024-05-02 12:00:00 UTC (in 1d); 19 of 20 are by 2024-05-03 18:00:00 UTC (in 2d 6h)',
    ]);
  });

  test('shows deals as a table, and no terminal acts on the words of others', () => {
    const active: Deal = { ...deal, status: 'active', stage: 'active', chainDealID: 42, statusText: 'since \u001b[2J' };
    expect(picture({ ...pinned, deals: [deal, active] })).toEqual([
      CID,
      'stored    yes, 3 MiB, came 2024-05-01 10:30:00 UTC',
      '',
      'DEAL  PROVIDER  STATUS             CHANGED (UTC)        EXPIRES (UTC)        WHAT',
      '-     f01000    queued (accepted)  2024-05-01 11:00:00  2025-10-01 00:00:00  accepted by f01000, awaiting publication on chain',
      '42    f01000    active             2024-05-01 11:00:00  2025-10-01 00:00:00  since  [2J',
    ]);
  });

  test('tells what is missing, refused, unknown and stale', () => {
    const lastRefusal = { miner: 'f01002', text: 'no\u0007 thanks', at: '2024-05-01T11:59:00+00:00' };
    const why = [
      { code: 'price', providers: 3, text: 'asks for more than the policy pays' },
      { code: 'proposing_off', providers: 0, text: 'nothing is proposed now: the operator has paused it' },
    ];
    const nobody = { ...waits, reason: 'waiting_for_provider', position: null, aggregateFill: null, sealsBy: null };
    const unknown = { etaActive: { p50: null, p95: null }, lastRefusal, why, parts: { placed: 1, total: 3 } };
    const stale = { asOf: '2024-05-01T11:00:00+00:00', degraded: ['the chain cannot be read'] };
    expect(picture({ ...pinned, queueing: { ...nobody, ...unknown }, ...stale }).slice(2)).toEqual([
      'awaits    a storage provider (waiting_for_provider)',
      '          1 of its 3 parts lie in an aggregate',
      '          3 providers: asks for more than the policy pays',
      '          nothing is proposed now: the operator has paused it',
      'refused   by f01002 at 2024-05-01 11:59:00 UTC: no  thanks',
      'active    nobody knows when: there is not enough history',
      'beware    the chain cannot be read',
      '          nothing newer is known than 2024-05-01 11:00:00 UTC',
    ]);
    const incomplete: Queueing = { ...nobody, reason: 'incomplete', missing: { count: 2, first: 'bafkx' } };
    const pin = { ...pinned.pin, status: 'queued' as const, size: 0 };
    expect(picture({ ...pinned, pin, queueing: incomplete }).slice(1, 4)).toEqual([
      'stored    not all of it yet (queued), came 2024-05-01 10:30:00 UTC',
      'awaits    the rest of its blocks (incomplete)',
      'missing   2 blocks, the first is bafkx',
    ]);
  });

  test('says when the first of several deals will be active, and of what is over nothing', () => {
    const eta = { p50: '2024-05-02T12:00:00+00:00', p95: '2024-05-03T18:00:00+00:00' };
    expect(picture({ ...pinned, deals: [deal], etaActive: eta })[2]).toMatch(/^active {4}likely by 2024-05-02/);
    const failed: Queueing = { ...waits, reason: 'failed', failure: 'no new part came for 7d', sealsBy: null };
    expect(picture({ ...pinned, queueing: failed }).slice(3)).toEqual(['failed    no new part came for 7d']);
  });

  test('shows a reason that it does not know as it is', () => {
    expect(picture({ ...pinned, queueing: { ...waits, reason: 'new_reason' } })[2]).toBe(
      'awaits    new_reason (12 % full, place 7)',
    );
  });
});

test('a change is one line', () => {
  const change = {
    id: '1-0',
    cid: CID,
    at: '2024-05-01T11:00:00.5+00:00',
    kind: 'deal' as const,
    from: 'sent',
    to: 'rejected',
  };
  const told = { ...deal, id: 'uuid', status: null, pieceCid: null, batchRootCid: null };
  expect(changeLine({ ...change, deal: told, reason: 'too\nsmall' })).toBe(
    '2024-05-01 11:00:00 UTC  deal with f01000: sent → rejected (too small)',
  );
  expect(changeLine({ ...change, kind: 'deal', deal: { ...told, chainDealID: 9 }, from: null, to: 'active' })).toBe(
    '2024-05-01 11:00:00 UTC  deal 9 with f01000: active',
  );
  expect(changeLine({ ...change, kind: 'aggregate', from: 'open', to: 'sealing', reason: '' })).toBe(
    '2024-05-01 11:00:00 UTC  aggregate: open → sealing',
  );
});
