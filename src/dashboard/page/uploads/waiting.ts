/** Why an upload waits, in sentences. Pure, and free of the DOM: tests import it. */
import type { UploadAnswer } from '../answers.ts';

const REASONS: Readonly<Record<string, readonly [title: string, text: string]>> = {
  incomplete: [
    'Blocks are missing',
    'It is stored in part: the rest has to be sent before it can go into an aggregate.',
  ],
  failed: ['It failed', 'Nothing more comes of it as it is. Send the same data again: it is taken up where it stands.'],
  removed: ['It was removed', 'Its owners took it back.'],
  waiting_for_aggregate: [
    'It waits for an aggregate',
    'All its blocks are here; the next aggregate with room takes it.',
  ],
  aggregate_filling: ['Its aggregate is filling', 'Other uploads join it until the aggregate is full or old enough.'],
  waiting_for_age: ['Its aggregate closes soon', 'There is enough in it for a piece; it is closed by its age.'],
  sealing: ['Its aggregate is being sealed', 'Its piece is hashed and its proofs are made.'],
  waiting_for_provider: [
    'It waits for a storage provider',
    'The piece is ready; no provider has a proposal for it now.',
  ],
  waiting_for_datacap: [
    'DataCap does not suffice',
    'Providers would be asked, but our DataCap does not cover the piece.',
  ],
  waiting_for_escrow: [
    'The market balance does not suffice',
    'Providers would be asked, but our escrow does not cover the deal.',
  ],
  waiting_for_chain: ['The chain cannot be read', 'Nothing new is proposed until it can.'],
  bytes_released: [
    'Its bytes are not here',
    'They were released after its deals, and are fetched back from a provider.',
  ],
};

/** Title and text for the reason of `queueing`. A reason that this page does not know yet is told by its own words. */
export function whyItWaits(reason: string): { title: string; text: string } {
  const [title, text] = REASONS[reason] ?? [reason.replaceAll('_', ' '), ''];
  return { title, text };
}

type StepState = 'done' | 'now' | 'next' | 'bad';

export interface Step {
  name: string;
  state: StepState;
}

const STEPS = ['Received', 'Placed', 'Sealed', 'Proposed', 'Published', 'Active'] as const;
/** How many steps a deal of this stage has behind it; what has ended is behind all of them. */
const DEAL_STEPS: Readonly<Record<string, number>> = { signed: 4, sent: 4, accepted: 4, published: 5, active: 6 };
const QUEUE_STEPS: Readonly<Record<string, number>> = {
  incomplete: 0,
  failed: 0,
  removed: 0,
  waiting_for_aggregate: 1,
  aggregate_filling: 2,
  waiting_for_age: 2,
  sealing: 2,
};
/** Sealed, and nothing proposed. */
const SEALED_STEPS = 3;

/** How far an upload has come; a part of it that waits counts before the deals that others have. */
export function stepsOf({ queueing, deals, state }: Pick<UploadAnswer, 'queueing' | 'deals' | 'state'>): Step[] {
  const furthest = Math.max(0, ...deals.map(({ stage }) => DEAL_STEPS[stage] ?? 0));
  const done = queueing === undefined ? furthest : (QUEUE_STEPS[queueing.reason] ?? SEALED_STEPS);
  const isBad = state === 'failed' || state === 'removed';
  return STEPS.map((name, at) => {
    if (at < done) return { name, state: 'done' };
    if (at > done) return { name, state: 'next' };
    return { name, state: isBad ? 'bad' : 'now' };
  });
}

/** The column of the file listing: one word where there is no deal to link to. */
export function storageWord({ state, queueing, deals }: Pick<UploadAnswer, 'queueing' | 'deals' | 'state'>): string {
  if (state === 'removed') return 'removed';
  if (queueing?.reason === 'failed') return 'failed';
  return deals.length === 0 ? 'queued' : 'pending';
}

/** Why it is not pinned yet, or not any more; undefined: it is. */
export function whyNotPinned({
  pin,
  state,
  queueing,
}: Pick<UploadAnswer, 'pin' | 'queueing' | 'state'>): string | undefined {
  if (pin.status === 'pinned') return undefined;
  if (state === 'removed') return 'its owners took it back';
  if (state === 'failed') return queueing?.failure ?? 'it never became whole';
  if (state === 'incomplete') return 'blocks of it are missing';
  if (pin.status === 'failed') return 'bytes of it are lost or damaged, or the IPFS Cluster cannot pin it';
  return 'the IPFS Cluster has not pinned it yet';
}

/** Its piece has a CID, so that it can be proven to lie there. */
export function isSealed(upload: Pick<UploadAnswer, 'queueing' | 'deals' | 'state'>): boolean {
  return stepsOf(upload)[SEALED_STEPS - 1]?.state === 'done';
}
