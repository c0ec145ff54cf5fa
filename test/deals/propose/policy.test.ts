import { describe, expect, it } from 'vitest';
import { changePolicy, priceCap, showPolicy, type PolicyTerms } from '../../../src/deals/propose/policy.ts';
import { anyTerms } from './any-policy.ts';

const terms = anyTerms;

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
    const text =
      'replicas=2 verified=false max_price=0 max_verified_price=1 duration=600000 start_delay=48h fast_retrieval=false ' +
      'max_per_org=1 max_per_region=2 allow_providers=t01001,f01000,f01000 deny_providers=f02 max_in_flight=1TiB ' +
      'max_proposals_per_hour=10 renew_before=30d call_off_after=90m proposing=false offline=true reads_per_second=100';
    const other = changePolicy(terms, text.split(' '));
    expect(other).toMatchObject({
      maxPerOrg: 1,
      maxPerRegion: 2,
      allowProviders: ['f01000', 'f01001'],
      denyProviders: ['f02'],
      maxInFlightBytes: 2n ** 40n,
      maxProposalsPerHour: 10,
      renewBeforeEpochs: 86_400,
      callOffAfterSeconds: 5_400,
      proposing: false,
      offline: true,
      readsPerSecond: 100,
    });
    for (const [name, value] of Object.entries(terms)) {
      if (value !== undefined) expect([name, other[name as keyof PolicyTerms]]).not.toEqual([name, value]);
    }
    expect(changePolicy(other, pairs)).toEqual(terms);
    const back = Object.entries(showPolicy(other)).map(([name, value]) => `${name}=${value}`);
    expect(changePolicy(terms, back)).toEqual(other);
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
    ['max_per_org=0', /1 to 100/],
    ['max_per_region=all', /whole number/],
    ['allow_providers=f01000;f01001', /must be provider ids/],
    ['deny_providers=f1abc', /must be provider ids/],
    ['max_in_flight=0', /above 0/],
    ['max_proposals_per_hour=-1', /whole number/],
    ['renew_before=181d', /0 to 518400/],
    ['call_off_after=59s', /60 to/],
    ['reads_per_second=0', /1 to 10000/],
    ['proposing=1', /true or false/],
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
