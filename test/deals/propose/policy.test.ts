import { describe, expect, it } from 'vitest';
import { changePolicy, priceCap, showPolicy, type PolicyTerms } from '../../../src/deals/propose/policy.ts';

const terms: PolicyTerms = {
  replicas: 5,
  verified: true,
  maxPrice: 50_000_000_000n,
  maxVerifiedPrice: 5_000_000n,
  durationEpochs: 1_468_800,
  startDelayEpochs: 11_520,
  fastRetrieval: true,
};

describe('changePolicy', () => {
  it('changes what is named and keeps the rest', () => {
    const changed = changePolicy(terms, ['replicas=1', 'verified=false', 'max_price=7', 'fast_retrieval=false']);
    expect(changed).toEqual({ ...terms, replicas: 1, verified: false, maxPrice: 7n, fastRetrieval: false });
    expect(changePolicy(terms, [])).toEqual(terms);
  });

  it('takes times for epochs', () => {
    const changed = changePolicy(terms, ['duration=180d', 'start_delay=48h']);
    expect(changed).toMatchObject({ durationEpochs: 518_400, startDelayEpochs: 5_760 });
  });

  it('is undone by what show prints', () => {
    const pairs = Object.entries(showPolicy(terms)).map(([name, value]) => `${name}=${value}`);
    const other: PolicyTerms = { ...terms, replicas: 2, verified: false, maxPrice: 0n, durationEpochs: 600_000 };
    expect(changePolicy(other, pairs)).toEqual(terms);
    expect(Object.keys(showPolicy(terms))).toEqual([
      'replicas',
      'verified',
      'max_price',
      'max_verified_price',
      'duration',
      'start_delay',
      'fast_retrieval',
    ]);
  });

  it.each([
    ['replicas=0', /replicas: '0' must be a whole number from 1 to 100/],
    ['replicas=101', /1 to 100/],
    ['replicas=1.5', /whole number/],
    ['replicas=', /whole number/],
    ['verified=yes', /true or false/],
    ['max_price=-1', /attoFIL per GiB per epoch/],
    ['max_price=1e9', /attoFIL/],
    [`max_verified_price=1${'0'.repeat(39)}`, /attoFIL/],
    ['duration=518399', /518400/],
    ['duration=3680641', /3680640/],
    ['start_delay=0', /1 to 40320/],
    ['start_delay=40321', /1 to 40320/],
    ['colour=red', /'colour=red' is not one of replicas=…/],
    ['replicas', /is not one of/],
    ['toString=1', /is not one of/],
  ])('refuses %s', (pair, message) => {
    expect(() => changePolicy(terms, [pair])).toThrow(
      expect.objectContaining({ code: 'POLICY_INVALID', message: expect.stringMatching(message) }),
    );
  });

  it('refuses an end that no SP takes', () => {
    expect(() => changePolicy(terms, ['duration=3680640'])).toThrow(/may end at most 3680640 epochs from now/);
    expect(changePolicy(terms, ['duration=3669120', 'start_delay=11520']).durationEpochs).toBe(3_669_120);
  });
});

describe('priceCap', () => {
  it('is the cap for the kind of deal we make', () => {
    expect(priceCap(terms)).toBe(5_000_000n);
    expect(priceCap({ ...terms, verified: false })).toBe(50_000_000_000n);
  });
});
