import { formatBytes } from '../../filecoin/units.ts';
import type { Policy } from './policy.ts';
import { refusalClass, type RefusalClass } from '../send/refusals.ts';

/** A registered provider, as choosing sees it. */
export interface Candidate {
  id: string;
  state: 'enabled' | 'paused' | 'removed';
  peerId: string | undefined;
  multiaddrs: string[];
  sectorBytes: bigint | undefined;
  ownerId: string | undefined;
  resolveError: string | undefined;
  retryAt: Date | undefined;
}

/** A deal of this aggregate that was signed before, whatever became of it. */
export interface UsedProvider {
  provider: string;
  live: boolean;
  /** Nothing more can come of it. */
  settledAt: Date | undefined;
  /** The reason code, when it ended by the provider's refusal. */
  refusalCode: string | undefined;
  policyVersion: number;
}

export interface ChooseInput {
  policy: Policy;
  slotsWanted: number[];
  candidates: Candidate[];
  used: UsedProvider[];
  pieceBytes: bigint;
  now: Date;
  /** Reasons found outside, such as an ask above our price cap: provider → reason. */
  ruledOut?: ReadonlyMap<string, string>;
  /** Uniform in [0, 1): breaks ties, so that no provider is always first. */
  random: () => number;
}

export interface Choice {
  chosen: { slot: number; provider: string }[];
  refused: { provider: string; reason: string }[];
}

/**
 * How long a provider that refused this aggregate is left alone with it under the same policy: its asks and lists change
 * in days; a fault of ours is mended or funded in an hour. 'later' and 'change-terms' are the provider's own back-off.
 */
const REFUSAL_REST_MS: Record<RefusalClass, number> = {
  permanent: 7 * 24 * 3_600_000,
  bug: 3_600_000,
  later: 0,
  'change-terms': 0,
};
/** After this many refusals in a day the provider is left alone with this aggregate: its words did not mean what we read. */
const MAX_REFUSALS_A_DAY = 3;
const DAY_MS = 24 * 3_600_000;

function reasonOfProvider(candidate: Candidate, { now, pieceBytes }: ChooseInput): string | undefined {
  const { state, peerId, multiaddrs, sectorBytes, retryAt, resolveError } = candidate;
  if (state !== 'enabled') return `it is ${state}`;
  const error = resolveError === undefined ? '' : `: ${resolveError}`;
  if (peerId === undefined || multiaddrs.length === 0) return `no peer id or address is known${error}`;
  if (sectorBytes === undefined) return `its sector size is not known${error}`;
  if (pieceBytes > sectorBytes)
    return `a piece of ${formatBytes(pieceBytes)} is larger than its sectors of ${formatBytes(sectorBytes)}`;
  if (retryAt !== undefined && retryAt > now) return `it rests until ${retryAt.toISOString()}`;
  return undefined;
}

function reasonOfHistory(provider: string, { used, now, policy }: ChooseInput): string | undefined {
  const past = used.filter((deal) => deal.provider === provider);
  if (past.some(({ live, settledAt }) => live || settledAt === undefined))
    return 'it has a deal for this aggregate that may live';
  const refusals = past.filter(
    ({ refusalCode, policyVersion }) => refusalCode !== undefined && policyVersion === policy.version,
  );
  const ageMs = ({ settledAt }: UsedProvider) => now.getTime() - (settledAt?.getTime() ?? 0);
  const resting = refusals.find((deal) => ageMs(deal) < REFUSAL_REST_MS[refusalClass(deal.refusalCode ?? '')]);
  if (resting !== undefined) return `it refused this aggregate: ${resting.refusalCode}`;
  const recent = refusals.filter((deal) => ageMs(deal) < DAY_MS);
  return recent.length >= MAX_REFUSALS_A_DAY
    ? `it refused this aggregate ${recent.length} times within a day`
    : undefined;
}

/** Lower is better: another owner than those already used, then fewer deals of this aggregate that came to nothing. */
function rank(candidate: Candidate, owners: Set<string>, used: UsedProvider[]): number {
  const sameOwner = candidate.ownerId !== undefined && owners.has(candidate.ownerId) ? 1 : 0;
  const past = used.filter(({ provider }) => provider === candidate.id).length;
  return sameOwner * (used.length + 1) + past;
}

/**
 * Which providers to ask for which slots: enabled, reachable, rested, with sectors that hold the piece, and no deal of
 * this aggregate that may live. Distinct owners are preferred, not required. Pure; every refusal says why.
 */
export function choose(input: ChooseInput): Choice {
  const refused: Choice['refused'] = [];
  const eligible: { candidate: Candidate; tie: number }[] = [];
  for (const candidate of input.candidates) {
    // Drawn for every candidate, so that a draw does not depend on who else was refused.
    const tie = input.random();
    const reason =
      input.ruledOut?.get(candidate.id) ?? reasonOfProvider(candidate, input) ?? reasonOfHistory(candidate.id, input);
    if (reason === undefined) eligible.push({ candidate, tie });
    else refused.push({ provider: candidate.id, reason });
  }
  return { chosen: fillSlots(input, eligible), refused };
}

function fillSlots(input: ChooseInput, eligible: { candidate: Candidate; tie: number }[]): Choice['chosen'] {
  const liveProviders = new Set(input.used.filter(({ live }) => live).map(({ provider }) => provider));
  const ownerOf = ({ ownerId, id }: Candidate) => (liveProviders.has(id) && ownerId !== undefined ? [ownerId] : []);
  const owners = new Set(input.candidates.flatMap(ownerOf));
  const left = [...eligible];
  const chosen: Choice['chosen'] = [];
  for (const slot of input.slotsWanted) {
    const best = left.sort(
      (a, b) => rank(a.candidate, owners, input.used) - rank(b.candidate, owners, input.used) || a.tie - b.tie,
    )[0];
    if (best === undefined) break;
    left.shift();
    if (best.candidate.ownerId !== undefined) owners.add(best.candidate.ownerId);
    chosen.push({ slot, provider: best.candidate.id });
  }
  return chosen;
}
