import fc from 'fast-check';
import { expect, test } from 'vitest';
import { layOutMap, type Segment } from '../../src/dashboard/page/aggregates/lay-out-map.ts';
import type { DealAnswer, QueueingAnswer } from '../../src/dashboard/page/answers.ts';
import { curveOf } from '../../src/dashboard/page/deals/curve.ts';
import { addressPage, dealPage, messagePage } from '../../src/dashboard/page/explorer.ts';
import { isSealed, stepsOf, storageWord, whyItWaits, whyNotPinned } from '../../src/dashboard/page/uploads/waiting.ts';
import { dealStates } from '../../src/deals/deal-states.ts';

function deal(stage: string): DealAnswer {
  return {
    status: 'queued',
    stage,
    lastChanged: '',
    chainDealID: null,
    datamodelSelector: null,
    statusText: '',
    dealActivation: '',
    dealExpiration: '',
    miner: 'f01000',
    pieceCid: '',
    batchRootCid: '',
  };
}

function waits(reason: string): QueueingAnswer {
  return { reason, position: null, aggregateFill: null, sealsBy: null, etaActive: { p50: null, p95: null } };
}

const names = (steps: { name: string; state: string }[]) => steps.map(({ name, state }) => `${name} ${state}`).join();

test('the steps of an upload: by why it waits, by its furthest deal, and by what failed', () => {
  const now = (queueing: QueueingAnswer | undefined, stages: string[], state = 'stowed') => {
    const given = { state, deals: stages.map(deal), ...(queueing !== undefined && { queueing }) };
    return stepsOf(given).find((step) => step.state !== 'done');
  };
  expect(now(waits('incomplete'), [], 'incomplete')).toEqual({ name: 'Received', state: 'now' });
  expect(now(waits('waiting_for_aggregate'), [], 'waiting')).toEqual({ name: 'Placed', state: 'now' });
  expect(now(waits('aggregate_filling'), [])).toEqual({ name: 'Sealed', state: 'now' });
  for (const reason of ['waiting_for_provider', 'waiting_for_datacap', 'proposing_paused', 'of a later version'])
    expect([reason, now(waits(reason), [])]).toEqual([reason, { name: 'Proposed', state: 'now' }]);
  expect(now(undefined, ['sent'])).toEqual({ name: 'Published', state: 'now' });
  expect(now(undefined, ['sent', 'published'])).toEqual({ name: 'Active', state: 'now' });
  expect(now(undefined, ['published', 'active'])).toBeUndefined();
  expect(now(waits('failed'), [], 'failed')).toEqual({ name: 'Received', state: 'bad' });
  // A part of it waits: deals that other parts have do not carry it further.
  expect(now(waits('sealing'), ['active'])).toEqual({ name: 'Sealed', state: 'now' });
  expect(names(stepsOf({ state: 'stowed', deals: [deal('accepted')] }))).toBe(
    'Received done,Placed done,Sealed done,Proposed done,Published now,Active next',
  );
});

test('an upload is proven once its aggregate is sealed, not before', () => {
  const sealed = (reason: string) => isSealed({ state: 'stowed', deals: [], queueing: waits(reason) });
  expect(['waiting_for_aggregate', 'aggregate_filling', 'waiting_for_age', 'sealing'].map(sealed)).toEqual(
    Array.from({ length: 4 }, () => false),
  );
  expect(['waiting_for_provider', 'waiting_for_chain', 'bytes_released'].map(sealed)).toEqual([true, true, true]);
});

test('the word of the file listing', () => {
  expect(storageWord({ state: 'waiting', deals: [], queueing: waits('waiting_for_aggregate') })).toBe('queued');
  expect(storageWord({ state: 'failed', deals: [], queueing: waits('failed') })).toBe('failed');
  expect(storageWord({ state: 'removed', deals: [], queueing: waits('removed') })).toBe('removed');
  for (const stage of dealStates) expect(storageWord({ state: 'stowed', deals: [deal(stage)] })).toBe('pending');
  expect(whyItWaits('of_a_later_version')).toEqual({ title: 'of a later version', text: '' });
});

const someSegments = fc
  .array(
    fc.record({ gap: fc.nat(50), length: fc.integer({ min: 1, max: 400 }), runs: fc.integer({ min: 1, max: 9 }) }),
    {
      minLength: 1,
      maxLength: 30,
    },
  )
  .map((given) => {
    let offset = 59;
    return given.map(({ gap, length, runs }): Segment => {
      offset += gap;
      const segment = { offset, length, runs, root: runs === 1 ? 'bafy' : null };
      offset += length;
      return segment;
    });
  });

test('the map shows every byte of every run once, at its place, and nothing beyond', () => {
  const check = (segments: Segment[], lines: number, free: number) => {
    const last = segments.at(-1);
    const endBytes = (last?.offset ?? 0) + (last?.length ?? 0) + 7;
    const sheet = { totalBytes: endBytes + free, lines, lineWidth: 100 };
    const boxes = layOutMap(segments, endBytes, sheet);
    const bytesPerUnit = sheet.totalBytes / (lines * sheet.lineWidth);
    for (const box of boxes) {
      expect(box.x).toBeGreaterThanOrEqual(0);
      expect(box.x + box.width).toBeLessThanOrEqual(sheet.lineWidth + 1e-6);
      expect(box.y).toBeLessThan(lines);
    }
    for (const segment of segments) {
      const own = boxes.filter((box) => box.segment === segment);
      const width = own.reduce((sum, box) => sum + box.width, 0);
      expect(width * bytesPerUnit).toBeCloseTo(segment.length, 3);
      const first = own[0];
      expect(((first?.y ?? 0) * sheet.lineWidth + (first?.x ?? 0)) * bytesPerUnit).toBeCloseTo(segment.offset, 3);
    }
    const other = boxes.filter(({ kind }) => kind === 'other').reduce((sum, box) => sum + box.width, 0);
    expect(other * bytesPerUnit).toBeCloseTo(7, 3);
  };
  fc.assert(fc.property(someSegments, fc.integer({ min: 1, max: 8 }), fc.nat(2_000), check));
});

test('a curve rises with time, and a moment has one value, the last', () => {
  const at = (second: number) => new Date(1_700_000_000_000 + second * 1_000).toISOString();
  expect(
    curveOf([
      { at: at(4), bytes: 40 },
      { at: at(0), bytes: 0 },
      { at: at(4), bytes: 44 },
      { at: at(2), bytes: 20 },
    ]),
  ).toEqual({ times: [1_700_000_000, 1_700_000_002, 1_700_000_004], values: [0, 20, 44] });
});

test('links to Filfox are those of the network', () => {
  expect(dealPage('mainnet', 4_486_352)).toBe('https://filfox.info/en/deal/4486352');
  expect(dealPage('calibration', 7)).toBe('https://calibration.filfox.info/en/deal/7');
  expect(addressPage('mainnet', 'f0840770')).toBe('https://filfox.info/en/address/f0840770');
  expect(messagePage('mainnet', 'bafy/../x')).toBe('https://filfox.info/en/message/bafy%2F..%2Fx');
});

test('why an upload is not pinned: by its own state first, then by what the pin is', () => {
  const why = (status: string, state: string, queueing?: QueueingAnswer) =>
    whyNotPinned({
      pin: { cid: '', created: '', size: 0, status },
      state,
      ...(queueing !== undefined && { queueing }),
    });
  for (const state of ['waiting', 'stowed']) expect(why('pinned', state)).toBeUndefined();
  expect(why('queued', 'incomplete', waits('incomplete'))).toMatch(/missing/);
  expect(why('failed', 'failed', { ...waits('failed'), failure: 'no blocks came' })).toBe('no blocks came');
  expect(why('failed', 'failed')).toMatch(/whole/);
  expect(why('failed', 'removed', waits('removed'))).toMatch(/took it back/);
  expect(why('failed', 'stowed')).toMatch(/damaged/);
  for (const status of ['queued', 'pinning']) expect(why(status, 'stowed')).toMatch(/not pinned it yet/);
});
