import { unreachable } from '../../errors.ts';
import {
  noSector,
  notPublished,
  publishedAgain,
  sectorActive,
  sectorChanged,
  sectorTerminated,
  sectorUndone,
  slashedAt,
  termOver,
  vanished,
  type Reason,
} from './deal-reasons.ts';
import { canMove, isLive, isOnChain, type DealState, type OnChainState } from '../deal-states.ts';
import {
  applyStep,
  type At,
  type ChainFields,
  type DealMessage,
  type Evidence,
  type Seen,
  type Step,
  type WatchedDeal,
} from './deal-step.ts';

const NONE: Step = { kind: 'none' };
const NOT_ON_CHAIN: ChainFields = {
  chainDealId: null,
  publishMessage: null,
  publishedEpoch: null,
  sectorNumber: null,
  sectorStartEpoch: null,
};
const NO_SECTOR = { sectorNumber: null, sectorStartEpoch: null };

/** Facts below this height are seen, and no reorg will undo them. */
function finalBelow(at: At): number {
  return Math.min(at.epoch, at.finalizedEpoch);
}

/** A provider can publish and prove a deal until its start epoch: past that, what has not happened never will. */
function startIsFinal(deal: WatchedDeal, at: At): boolean {
  return finalBelow(at) > deal.startEpoch;
}

/**
 * The next step of a deal, by the table of docs/deals.md, from what the chain showed of it. Pure. One step at a time:
 * `decideAll` repeats it until nothing is left to do.
 */
export function decide(deal: WatchedDeal, seen: Seen, at: At): Step {
  switch (seen.kind) {
    case 'present':
      return decidePresent(deal, seen, at);
    case 'absent':
      return decideAbsent(deal, seen, at);
    case 'taken':
      if (!isOnChain(deal.state)) return decideAbsent(deal, { kind: 'absent' }, at);
      // Without a reorg or a deal of ours in its place, that is more likely a node of another chain than the truth.
      if (!seen.byOurs && !mayBeUnpublished(deal, at)) return NONE;
      return undo(deal, at, `chain deal ${deal.chainDealId} is another proposal since a reorg`);
    default:
      return unreachable(seen);
  }
}

type Present = Extract<Seen, { kind: 'present' }>;
type Absent = Extract<Seen, { kind: 'absent' }>;

function decidePresent(deal: WatchedDeal, seen: Present, at: At): Step {
  if (!isOnChain(deal.state)) return publish(deal, seen, at);
  if (deal.chainDealId !== seen.chainDealId) {
    return undo(deal, at, `after a reorg it is chain deal ${seen.chainDealId}, no more ${deal.chainDealId}`);
  }
  const target = stateOf(deal, seen, at);
  if (target === deal.state) return refresh(deal, seen, at);
  // Where the table has no direct way, the deal first becomes what it is without its sector.
  const to = canMove(deal.state, target) ? target : 'published';
  const hasSector = to !== 'published' && to !== 'missed';
  const fields = hasSector ? { sectorNumber: seen.sectorNumber, sectorStartEpoch: seen.sectorStartEpoch } : NO_SECTOR;
  return {
    kind: 'advance',
    to,
    fields,
    reason: reasonOf(to, deal, seen),
    epoch: at.epoch,
    evidence: evidenceOf(at, seen, hasSector ? seen.activated : undefined),
  };
}

/** What a deal is whose entry the market actor holds. */
function stateOf(deal: WatchedDeal, seen: Present, at: At): OnChainState {
  if (seen.sectorStartEpoch < 0) return startIsFinal(deal, at) ? 'missed' : 'published';
  if (seen.slashEpoch >= 0) return 'slashed';
  return at.epoch < deal.endEpoch ? 'active' : 'expired';
}

function reasonOf(to: OnChainState, deal: WatchedDeal, seen: Present): Reason {
  switch (to) {
    case 'active':
      return sectorActive(seen.sectorStartEpoch);
    case 'expired':
      return termOver(deal);
    case 'slashed':
      return slashedAt(seen.slashEpoch);
    case 'missed':
      return noSector(deal);
    case 'published':
      return sectorUndone;
    default:
      return unreachable(to);
  }
}

/** The same state: a sector of another number or start, or a publish message that landed again after a reorg. */
function refresh(deal: WatchedDeal, seen: Present, at: At): Step {
  const { published, sectorStartEpoch, sectorNumber } = seen;
  const sector =
    sectorStartEpoch >= 0 && (deal.sectorStartEpoch !== sectorStartEpoch || deal.sectorNumber !== sectorNumber);
  const landed =
    published !== undefined && (published.message !== deal.publishMessage || published.epoch !== deal.publishedEpoch);
  if (!sector && !landed) return NONE;
  const fields: Partial<ChainFields> = {
    ...(sector && { sectorNumber, sectorStartEpoch }),
    ...(landed && { publishMessage: published.message, publishedEpoch: published.epoch }),
  };
  const reason = sector ? sectorChanged(sectorNumber, sectorStartEpoch) : publishedAgain;
  return {
    kind: 'update',
    fields,
    reason,
    epoch: at.epoch,
    evidence: evidenceOf(at, seen, sector ? seen.activated : published),
  };
}

function publish(deal: WatchedDeal, seen: Present, at: At): Step {
  const again = isLive(deal.state) ? '' : `, though it was ${deal.state}`;
  return {
    kind: 'advance',
    to: 'published',
    fields: {
      ...NOT_ON_CHAIN,
      chainDealId: seen.chainDealId,
      publishMessage: seen.published?.message ?? null,
      publishedEpoch: seen.published?.epoch ?? null,
    },
    reason: { code: 'found_on_chain', text: `published as chain deal ${seen.chainDealId}${again}` },
    epoch: at.epoch,
    evidence: evidenceOf(at, seen, seen.published),
  };
}

function decideAbsent(deal: WatchedDeal, seen: Absent, at: At): Step {
  switch (deal.state) {
    case 'signed':
    case 'sent':
    case 'accepted':
      return discoveryIsFinal(deal, at) ? end(deal, at, { to: 'abandoned', reason: notPublished(deal) }) : NONE;
    case 'failed':
    // Called off: the only one of its state that is not settled.
    case 'abandoned':
      return !deal.settled && discoveryIsFinal(deal, at) ? { kind: 'settle' } : NONE;
    case 'published':
      return decideVanishedUnproven(deal, seen, at);
    case 'active':
      return decideVanishedActive(deal, seen, at);
    case 'missed':
    case 'slashed':
      return wasUnpublished(deal, seen, at) ? undo(deal, at, 'a reorg dropped its publish message') : NONE;
    case 'rejected':
    case 'expired':
      return NONE;
    default:
      return unreachable(deal.state);
  }
}

/** Nothing was published up to the start epoch, and nothing that a reorg could still add. */
function discoveryIsFinal(deal: WatchedDeal, at: At): boolean {
  return startIsFinal(deal, at) && at.discoveredEpoch > deal.startEpoch;
}

/** A reorg happened below or at its publish message: without one, a published deal cannot become unpublished. */
function mayBeUnpublished(deal: WatchedDeal, { reorgedAbove }: At): boolean {
  return reorgedAbove !== undefined && (deal.publishedEpoch === null || deal.publishedEpoch > reorgedAbove);
}

/** Of a deal that ended nothing is left to see, so that only a publish that is known to lie in the undone part counts. */
function wasUnpublished(deal: WatchedDeal, { terminated }: Absent, at: At): boolean {
  return terminated === undefined && deal.publishedEpoch !== null && mayBeUnpublished(deal, at);
}

function decideVanishedUnproven(deal: WatchedDeal, seen: Absent, at: At): Step {
  if (startIsFinal(deal, at)) return end(deal, at, { to: 'missed', reason: noSector(deal), message: seen.terminated });
  if (mayBeUnpublished(deal, at)) return undo(deal, at, 'a reorg dropped its publish message');
  // Gone before it is due, and nothing was undone: no honest chain shows this, so it is looked at again.
  return NONE;
}

function decideVanishedActive(deal: WatchedDeal, seen: Absent, at: At): Step {
  const { terminated } = seen;
  if (terminated !== undefined && terminated.epoch < deal.endEpoch) {
    return end(deal, at, { to: 'slashed', reason: sectorTerminated(terminated.epoch), message: terminated });
  }
  if (at.epoch >= deal.endEpoch) return end(deal, at, { to: 'expired', reason: termOver(deal) });
  if (mayBeUnpublished(deal, at)) return undo(deal, at, 'a reorg dropped its publish message');
  const wasActiveBefore = deal.sectorStartEpoch !== null && deal.sectorStartEpoch < finalBelow(at);
  if (seen.absentAtFinalized === true && wasActiveBefore) return end(deal, at, { to: 'slashed', reason: vanished(at) });
  return NONE;
}

/** A deal's end; `message` is the one that ended it, where there is one. */
interface Ending {
  to: DealState;
  reason: Reason;
  message?: DealMessage | undefined;
}

function end(deal: WatchedDeal, at: At, { to, reason, message }: Ending): Step {
  const evidence = {
    ...evidenceAt(at),
    ...(deal.chainDealId !== null && { chainDealId: Number(deal.chainDealId) }),
    ...messageEvidence(message),
  };
  return { kind: 'advance', to, fields: {}, reason, epoch: at.epoch, evidence };
}

/** Back to where a deal is that its provider holds and the chain does not. */
function undo(deal: WatchedDeal, at: At, text: string): Step {
  const evidence = { ...evidenceAt(at), chainDealId: Number(deal.chainDealId) };
  return {
    kind: 'advance',
    to: 'accepted',
    fields: NOT_ON_CHAIN,
    reason: { code: 'reorg', text },
    epoch: at.epoch,
    evidence,
  };
}

function evidenceAt({ epoch, tipset, finalizedEpoch, undoneTipset, reorgedAbove, node, witness }: At): Evidence {
  const reorg = {
    ...(undoneTipset !== undefined && { undoneTipset: [...undoneTipset] }),
    ...(reorgedAbove !== undefined && { reorgedAbove }),
  };
  const nodes = { ...(node !== undefined && { node }), ...(witness !== undefined && { witness }) };
  return { epoch, tipset: [...tipset], finalizedEpoch, ...nodes, ...reorg };
}

function evidenceOf(at: At, seen: Present, message?: DealMessage): Evidence {
  return {
    ...evidenceAt(at),
    chainDealId: Number(seen.chainDealId),
    sectorNumber: Number(seen.sectorNumber),
    sectorStartEpoch: seen.sectorStartEpoch,
    slashEpoch: seen.slashEpoch,
    ...messageEvidence(message),
  };
}

function messageEvidence(message: DealMessage | undefined): Evidence {
  return message === undefined ? {} : { message: message.message, messageEpoch: message.epoch };
}

/** Undone, published anew, proven, ended: no sight of the chain takes a deal further than this. */
export const MAX_STEPS = 5;

/** Every step that one sight of a deal leads to, in order; none when it says nothing new. */
export function decideAll(deal: WatchedDeal, seen: Seen, at: At): Step[] {
  const steps: Step[] = [];
  let now = deal;
  for (let step = decide(now, seen, at); step.kind !== 'none'; step = decide(now, seen, at)) {
    if (steps.length >= MAX_STEPS) throw new Error(`deciding on a deal in ${deal.state} does not come to rest`);
    steps.push(step);
    now = applyStep(now, step);
  }
  return steps;
}
