import type { CID } from 'multiformats/cid';

import { formatAddress } from '../../filecoin/address.ts';
import { FormatError } from '../../filecoin/format-error.ts';
import { signedProposalCid } from '../../filecoin/proposal.ts';
import { decodePublishParams } from '../../filecoin/publish.ts';
import { applyAct, prepareState } from './apply-act.ts';
import { restoreMessage, type SignedMessage } from './chain-message.ts';
import type { ChainPolicy } from './chain-policy.ts';
import { ChainState, MARKET_ACTOR_ID } from './chain-state.ts';
import { ChainStore } from './chain-store.ts';
import { genesisTipset, nextTipset, type Tipset } from './chain-tipset.ts';
import { METHOD_PUBLISH } from './execute-market-message.ts';
import { executeMessage, type Execution } from './execute-message.ts';
import { METHOD_PROVE_COMMIT } from './execute-miner-message.ts';
import type { ChainAct, LedgerEntry, ReorgEntry } from './ledger-journal.ts';
import { applyTimeout, clearingEpoch, DEAL_COUNTER } from './market-deals.ts';
import { MessagePool } from './message-pool.ts';
import { decodeProveCommit } from './sector-params.ts';

/** Messages of dropped tipsets land again no earlier than this many epochs after the head. */
const RELAND_EPOCHS = 2;

/**
 * The chain as a function of its journal: the same entries always make the same tipsets, keys, deals and ids. Nothing
 * in here looks at a clock or draws a number that does not come from the seed.
 */
export class ChainCore {
  readonly policy: ChainPolicy;
  readonly state = new ChainState();
  readonly store: ChainStore;
  readonly pool = new MessagePool();
  /** Publish messages by the CID of each ClientDealProposal in them. */
  readonly publishes = new Map<string, SignedMessage[]>();
  /** Highest sector number that was ever used, by miner. */
  readonly sectorNumbers = new Map<bigint, number>();
  /** Acts by the tipset that was the head: a reorg does not undo them. */
  readonly #acts = new Map<Tipset, ChainAct[]>();
  /** Deals without a sector by the epoch at which cron clears them. */
  #clearings = new Map<number, Set<bigint>>();
  /** Deals below this id are in `#clearings`, or never will be. */
  #notedDeals = 0n;
  #fork = 0;

  constructor(policy: ChainPolicy) {
    this.policy = policy;
    this.store = new ChainStore(genesisTipset(policy));
    prepareState(this.state, this.#actHeight);
  }

  get head(): Tipset {
    return this.store.head;
  }

  /** Does what an entry says. Entries are checked before they are written; here they can only succeed. */
  apply(entry: Exclude<LedgerEntry, { op: 'genesis' }>): void {
    switch (entry.op) {
      case 'tipset':
        this.#extend(entry.height);
        return;
      case 'push':
        this.#admit(restoreMessage(entry));
        return;
      case 'reorg':
        this.#reorganize(entry);
        return;
      case 'miner':
      case 'fund':
        this.#act(entry);
        return;
    }
  }

  /**
   * What a message would do in the next tipset, after all that is on its way: gas estimation asks the same. The state
   * is as before afterwards.
   */
  tryMessage(signed: SignedMessage): Execution {
    const { head, state } = this;
    const height = head.height + 1;
    for (const message of head.messages) this.#execute(message, head.height);
    for (const message of this.#selectable(height)) this.#execute(message, height);
    const execution = this.#execute(signed, height);
    state.truncate(head.height);
    return execution;
  }

  /** The nonce that the sender's next message has, after all that is on its way. */
  nextNonce(signedBy: string, accountNonce: number): number {
    const isTheirs = ({ message }: SignedMessage): boolean => formatAddress(message.from) === signedBy;
    const used = [...this.head.messages, ...this.pool.messages]
      .filter(isTheirs)
      .map(({ message }) => message.nonce + 1);
    return Math.max(accountNonce, ...used);
  }

  /** In the pool or in a tipset of the chain; false after a reorg dropped it for good. */
  isLive(cid: CID): boolean {
    const record = this.store.message(cid);
    return record !== undefined && (record.tipset !== undefined || this.pool.has(record.signed));
  }

  /** Acts are written below the head's height, and so belong to the state as of the head. */
  get #actHeight(): number {
    return this.head.height - 1;
  }

  #act(act: ChainAct): void {
    applyAct(this.state, act, { seed: this.policy.seed, height: this.#actHeight });
    const acts = this.#acts.get(this.head) ?? [];
    acts.push(act);
    this.#acts.set(this.head, acts);
  }

  #admit(signed: SignedMessage): void {
    this.pool.add(signed);
    this.store.noteMessage(signed);
    this.#remember(signed);
  }

  /** Makes the tipset at `height`; the rounds between the head and it are null. */
  #extend(height: number): void {
    const { head, policy, pool, state } = this;
    const executions = head.messages.map((message) => this.#execute(message, head.height));
    this.#noteClearings(executions);
    this.#clearDeals(height);
    const messages = this.#selectable(height);
    const minerIds = [...state.miners.entries()].map(([id]) => id);
    this.store.add(nextTipset(policy, head, { height, fork: this.#fork, minerIds, messages, executions }), executions);
    pool.prune(messages, (signed) => this.#stateNonce(signed));
  }

  #selectable(height: number): SignedMessage[] {
    return this.pool.select(height, (signed) => this.#stateNonce(signed));
  }

  #stateNonce({ message }: SignedMessage): number {
    const id = this.state.idOf(message.from);
    return id === undefined ? 0 : (this.state.accounts.get(id)?.nonce ?? 0);
  }

  #execute(signed: SignedMessage, height: number): Execution {
    return executeMessage({ state: this.state, policy: this.policy, height }, signed);
  }

  /** A stranger may push parameters that nobody can read; the actor's exit code tells it, not an error here. */
  #remember(signed: SignedMessage): void {
    try {
      this.#rememberContent(signed);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }

  #rememberContent(signed: SignedMessage): void {
    const { method, params, to } = signed.message;
    const actorId = this.state.idOf(to);
    if (actorId === MARKET_ACTOR_ID && method === METHOD_PUBLISH) {
      for (const deal of decodePublishParams(params)) {
        const name = signedProposalCid(deal).toString();
        this.publishes.set(name, [...(this.publishes.get(name) ?? []), signed]);
      }
    } else if (actorId !== undefined && method === METHOD_PROVE_COMMIT) {
      const { sectorNumber } = decodeProveCommit(params);
      this.sectorNumbers.set(actorId, Math.max(sectorNumber, this.sectorNumbers.get(actorId) ?? 0));
    }
  }

  #noteClearings(executions: readonly Execution[]): void {
    if (!executions.some(({ signed }) => signed.message.method === METHOD_PUBLISH)) return;
    // Ids are given in order, so that the new deals are those from the counter's last noted value on.
    const next = this.state.counters.get(DEAL_COUNTER) ?? 0n;
    for (let id = this.#notedDeals; id < next; id += 1n) this.#noteClearing(id);
    this.#notedDeals = next;
  }

  #noteClearing(dealId: bigint): void {
    const deal = this.state.deals.get(dealId);
    if (deal === undefined || deal.sectorStartEpoch >= 0) return;
    const epoch = clearingEpoch(dealId, deal.proposal.startEpoch);
    const ids = this.#clearings.get(epoch) ?? new Set();
    ids.add(dealId);
    this.#clearings.set(epoch, ids);
  }

  /** The market actor's cron for every epoch from the head on and below `untilHeight`, null rounds as well. */
  #clearDeals(untilHeight: number): void {
    const due = [...this.#clearings.keys()].filter((epoch) => epoch < untilHeight).sort((a, b) => a - b);
    for (const epoch of due) {
      for (const id of this.#clearings.get(epoch) ?? []) {
        const deal = this.state.deals.get(id);
        const isDue = deal !== undefined && deal.sectorStartEpoch < 0;
        if (isDue && clearingEpoch(id, deal.proposal.startEpoch) === epoch) {
          applyTimeout(this.state, id, this.head.height);
        }
      }
      this.#clearings.delete(epoch);
    }
  }

  /**
   * Another fork wins: the top tipsets go, with what their messages did, and others without those messages take their
   * heights. Messages land again some epochs later unless `reland` is false. `reuseIds` gives the dropped deals' ids
   * to whatever is published next; otherwise strangers' deals took them.
   */
  #reorganize({ depth, reland, reuseIds }: ReorgEntry): void {
    const { state, store, pool } = this;
    const nextDeal = state.counters.get(DEAL_COUNTER);
    const headHeight = this.head.height;
    const dropped = store.drop(depth);
    const messages = dropped.flatMap((tipset) => tipset.messages);
    state.truncate(this.head.height);
    this.#fork += 1;
    if (!reuseIds && nextDeal !== undefined) state.counters.set(DEAL_COUNTER, nextDeal, this.#actHeight);
    this.#rebuildClearings();
    for (const act of dropped.flatMap((tipset) => this.#acts.get(tipset) ?? [])) this.#act(act);
    if (reland) pool.returnDropped(messages, headHeight + RELAND_EPOCHS);
    else pool.forgetSenders(new Set(messages.map(({ message }) => formatAddress(message.from))));
    for (const { height } of dropped) this.#extend(height);
  }

  #rebuildClearings(): void {
    this.#clearings = new Map();
    this.#notedDeals = this.state.counters.get(DEAL_COUNTER) ?? 0n;
    for (const [id] of this.state.deals.entries()) this.#noteClearing(id);
  }
}
