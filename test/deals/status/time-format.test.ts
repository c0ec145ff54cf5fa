import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatOffsetTime } from '../../../src/deals/status/time-format.ts';

const aCommonTime = fc.date({ min: new Date('1600-01-01'), max: new Date('2600-01-01'), noInvalidDate: true });

test('times are those of toISOString, with +00:00 in place of Z, in any year', () => {
  fc.assert(
    fc.property(fc.oneof(aCommonTime, fc.date({ noInvalidDate: true })), (time) => {
      const iso = time.toISOString();
      expect(formatOffsetTime(time, 'microseconds')).toBe(iso.replace('Z', '000+00:00'));
      expect(formatOffsetTime(time, 'seconds')).toBe(iso.replace(/\.\d{3}Z/, '+00:00'));
    }),
    {
      numRuns: 20_000,
      examples: [[new Date(0)], [new Date('2022-03-13T04:17:07.009Z')], [new Date('0999-12-31T23:59:59.999Z')]],
    },
  );
  expect(() => formatOffsetTime(new Date(Number.NaN), 'seconds')).toThrow(RangeError);
});

test('each day of eight centuries is the one of the calendar', () => {
  for (let time = Date.UTC(1600, 0, 1); time < Date.UTC(2400, 0, 1); time += 86_400_000) {
    const date = new Date(time);
    if (formatOffsetTime(date, 'seconds').slice(0, 10) !== date.toISOString().slice(0, 10)) expect(date).toBe('right');
  }
});
