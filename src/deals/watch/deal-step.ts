import { unreachable } from '../../errors.ts';
import type { Reason } from './deal-reasons.ts';
import { isLive, type DealState } from '../deal-states.ts';

/** A deal as its row has it. Epochs and ids are null until they are known. */
export interface WatchedDeal extends ChainFields {
  state: DealState;
  startEpoch: number;
  endEpoch: number;
  /** Nothing more can come of it. */
  settled: boolean;
}

/** What a row knows from the chain alone. */
export interface ChainFields {
  chainDealId: bigint | null;
  publishMessage: string | null;
  /** Height of the tipset with the publish message. */
  publishedEpoch: number | null;
  sectorNumber: bigint | null;
  sectorStartEpoch: number | null;
}

/** A message of the market actor that concerns a deal; `epoch` is the height of its tipset. */
export interface DealMessage {
  epoch: number;
  message: string;
}

/** What the chain showed of one deal as of one tipset. */
export type Seen =
  /** The market actor holds it, and all eleven fields of the proposal are ours. Epochs are −1 for never. */
  | {
      kind: 'present';
      chainDealId: bigint;
      sectorNumber: bigint;
      sectorStartEpoch: number;
      slashEpoch: number;
      /** Its messages, where their events were seen. */
      published?: DealMessage;
      activated?: DealMessage;
    }
  /** Its id is not in the state, or it has no id and no publish of it was found. */
  | { kind: 'absent'; terminated?: DealMessage; absentAtFinalized?: boolean }
  /** Its id belongs to another proposal: a reorg gave the id away. `byOurs`: to one that is ours in all eleven fields. */
  | { kind: 'taken'; byOurs: boolean };

/** As of when. */
export interface At {
  /** Height of the tipset whose state was read. */
  epoch: number;
  tipset: readonly string[];
  /** Height of the last tipset that no reorg will undo. */
  finalizedEpoch: number;
  /** Every publish in a tipset below this height has been looked at. */
  discoveredEpoch: number;
  /** The node that showed it. */
  node?: string;
  /** Another that showed the same. */
  witness?: string;
  /** Given after a reorg: what was seen above this height may be undone. */
  reorgedAbove?: number;
  /** The tipset that the reorg undid. */
  undoneTipset?: readonly string[];
}

export type Evidence = Record<string, string | number | string[]>;

export type Step =
  | { kind: 'none' }
  /** Of an ended proposal nothing more can come; its state stays. */
  | { kind: 'settle' }
  /** The same state, with what the chain says of its sector now. */
  | { kind: 'update'; fields: Partial<ChainFields>; reason: Reason; epoch: number; evidence: Evidence }
  | { kind: 'advance'; to: DealState; fields: Partial<ChainFields>; reason: Reason; epoch: number; evidence: Evidence };

/** The deal after a step. */
export function applyStep(deal: WatchedDeal, step: Step): WatchedDeal {
  switch (step.kind) {
    case 'none':
      return deal;
    case 'settle':
      return { ...deal, settled: true };
    case 'update':
      return { ...deal, ...step.fields };
    case 'advance':
      return { ...deal, ...step.fields, state: step.to, settled: !isLive(step.to) };
    default:
      return unreachable(step);
  }
}
