import { expect, test } from 'vitest';
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatExact,
  formatFil,
  formatRelative,
  formatShare,
  shorten,
} from '../../src/dashboard/page/format.ts';
import { changedTerms, groupTerms, labelOf, readableTerm } from '../../src/dashboard/page/policy/terms.ts';
import { matchPath } from '../../src/dashboard/page/match-path.ts';
import { showPolicy } from '../../src/deals/propose/policy.ts';
import { anyTerms } from '../deals/propose/any-policy.ts';

test.each([
  [0, '0 B'],
  [1, '1 B'],
  [1_023, '1023 B'],
  [1_024, '1 KiB'],
  [1_536, '1.5 KiB'],
  [1_047_552, '1023 KiB'],
  [1_048_064, '1 MiB'],
  [34_359_738_368, '32 GiB'],
  [34_091_302_912n, '31.8 GiB'],
  [2n ** 60n, '1 EiB'],
  [2n ** 71n, '2048 EiB'],
])('%s bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

test.each([
  ['0', '0 FIL'],
  ['1', '1 attoFIL'],
  ['99999999', '99,999,999 attoFIL'],
  ['100000000', '0.1 nanoFIL'],
  ['50000000000', '50 nanoFIL'],
  ['99999999999999', '99,999.9999 nanoFIL'],
  ['100000000000000', '0.0001 FIL'],
  ['1250000000000000000', '1.25 FIL'],
  ['-2000000000000000000', '-2 FIL'],
  ['12345678000000000000000000', '12,345,678 FIL'],
])('%s attoFIL are %s', (atto, text) => expect(formatFil(atto)).toBe(text));

test.each([
  [0, '0 s'],
  [59.4, '59 s'],
  [60, '1 min'],
  [61, '1 min 1 s'],
  [3_599, '59 min'],
  [86_400 + 3_600 * 5, '1 d 5 h'],
  [86_400 * 45, '45 d'],
  [86_400 * 400, '1 y 35 d'],
  [-5, '0 s'],
])('%s seconds are %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text));

test('times are told from now, and exactly', () => {
  const now = new Date('2026-05-01T12:00:00.000Z');
  const from = (seconds: number) => formatRelative(new Date(now.getTime() - seconds * 1_000), now);
  expect([from(0), from(4), from(7), from(90), from(-7_200), from(86_400 * 3)]).toEqual([
    'now',
    'now',
    '7 s ago',
    '1 min ago',
    'in 2 h',
    '3 d ago',
  ]);
  expect(formatExact(new Date('2026-05-01T12:30:05.999Z'))).toBe('2026-05-01 12:30:05 UTC');
});

test('a share is never all nor nothing before it is', () => {
  expect([0, 0.001, 0.5, 0.9949, 0.9951, 1].map(formatShare)).toEqual([
    '0 %',
    '< 1 %',
    '50 %',
    '99 %',
    '> 99 %',
    '100 %',
  ]);
});

test('long names keep both ends', () => {
  expect(shorten('bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi')).toBe('bafybeigd…5fbzdi');
  expect(shorten('f01000')).toBe('f01000');
  expect(formatCount(1_234_567n)).toBe('1,234,567');
});

test('every term that the policy has is known here, in words and in a group', () => {
  const terms = showPolicy(anyTerms);
  const groups = groupTerms(terms);
  expect(groups.flatMap(({ names }) => names).toSorted()).toEqual(Object.keys(terms).toSorted());
  expect(groups.map(({ title }) => title)).not.toContain('Others');
  for (const name of Object.keys(terms)) expect([name, labelOf(name)]).not.toEqual([name, name]);
});

test.each([
  ['duration', '1468800', '510 d'],
  ['renew_before', '0', 'never'],
  ['start_delay', '180', '1 h 30 min'],
  ['max_price', '50000000000', '50 nanoFIL per GiB and epoch'],
  ['max_in_flight', '1099511627776', '1 TiB'],
  ['max_in_flight', 'none', 'no cap'],
  ['allow_providers', 'none', 'all'],
  ['deny_providers', 'none', 'nobody'],
  ['deny_providers', 'f01000,f01001', 'f01000, f01001'],
  ['call_off_after', '21600', '6 h'],
  ['duration', '510d', '510d'],
  ['something_new', '7', '7'],
])('%s=%s reads %s', (name, text, readable) => expect(readableTerm(name, text)).toBe(readable));

test('a term that is new here is shown, after those that are known', () => {
  expect(groupTerms({ replicas: '3', something_new: '7' })).toEqual([
    { title: 'Replicas and providers', names: ['replicas'] },
    { title: 'Others', names: ['something_new'] },
  ]);
});

test('changes are what is otherwise, and what is new', () => {
  expect(changedTerms({ replicas: '3', verified: 'true' }, { replicas: '5', verified: 'true', offline: 'no' })).toEqual(
    [
      { name: 'replicas', before: '3', after: '5' },
      { name: 'offline', before: undefined, after: 'no' },
    ],
  );
});

test('a path is matched whole, and its parts are read', () => {
  expect(matchPath('/dashboard', '/dashboard')).toEqual({});
  expect(matchPath('/dashboard/deals/:id', '/dashboard/deals/a%20b')).toEqual({ id: 'a b' });
  expect(matchPath('/dashboard/deals/:id', '/dashboard/deals/%zz')).toEqual({ id: '%zz' });
  expect(matchPath('/dashboard/deals/:id', '/dashboard/deals')).toBeUndefined();
  expect(matchPath('/dashboard/deals', '/dashboard/deals/7')).toBeUndefined();
});
