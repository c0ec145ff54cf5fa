import { expect, it } from 'vitest';
import { ProgressView, type Snapshot } from '../../src/demo/progress.ts';

const SEEN: Snapshot = {
  seconds: 12.4,
  epoch: 11,
  uploadsTotal: 26,
  uploadsReceived: 26,
  uploadsStowed: 20,
  uploadsActive: 0,
  aggregatesOpen: 1,
  aggregatesSealed: 2,
  dealsWanted: 9,
  dealsByState: { active: 1, published: 1, accepted: 2, sent: 1, rejected: 1 },
  note: 'next: sealing',
};

function record(isTerminal: boolean) {
  const written: string[] = [];
  return { written, view: new ProgressView((text) => void written.push(text), isTerminal) };
}

it('draws on a terminal over its own last picture, in one write and with as many lines', () => {
  const { written, view } = record(true);
  view.show(SEEN);
  view.show({ ...SEEN, uploadsActive: 26 });
  const lines = (written[0] ?? '').split('\n').length - 1;
  expect(written).toHaveLength(2);
  expect(written[1]?.startsWith(`\u001B[${lines}A`)).toBe(true);
  expect((written[1] ?? '').split('\n')).toHaveLength(lines + 1);
});

it('counts a deal in every stage it has come through, and a refused one in none', () => {
  const { written, view } = record(false);
  view.show(SEEN);
  expect(written).toEqual([
    '12 s: received 26/26, stowed 20, sealed 2, proposed 5, accepted 4, published 2, active 1, refused 1\n',
  ]);
});

it('writes to a pipe only what changed', () => {
  const { written, view } = record(false);
  view.show(SEEN);
  view.show({ ...SEEN, seconds: 13 });
  view.show({ ...SEEN, seconds: 14, uploadsStowed: 26 });
  expect(written).toHaveLength(2);
});
