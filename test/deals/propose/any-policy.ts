import type { Policy, PolicyTerms } from '../../../src/deals/propose/policy.ts';

/** The first policy of a database, as its terms. */
export const anyTerms: PolicyTerms = {
  replicas: 5,
  verified: true,
  maxPrice: 50_000_000_000n,
  maxVerifiedPrice: 5_000_000n,
  durationEpochs: 1_468_800,
  startDelayEpochs: 11_520,
  fastRetrieval: true,
  maxPerOrg: undefined,
  maxPerRegion: undefined,
  allowProviders: [],
  denyProviders: [],
  maxInFlightBytes: undefined,
  maxProposalsPerHour: undefined,
  renewBeforeEpochs: 129_600,
  callOffAfterSeconds: 21_600,
  proposing: true,
  offline: false,
  readsPerSecond: 25,
};

export const anyPolicy: Policy = { ...anyTerms, version: 2 };
