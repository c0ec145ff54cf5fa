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
import { isStretch, type Link } from './chain-line.ts';
import { genesisTipset, nextTipset, type Tipset } from './chain-tipset.ts';
import { METHOD_PUBLISH } from './execute-market-message.ts';
import { executeMessage, type Execution } from './execute-message.ts';
import { METHOD_PROVE_COMMIT } from './execute-miner-message.ts';
import type { ChainAct, LedgerEntry, ReorgEntry } from './ledger-journal.ts';
import { DealClearings } from './deal-clearings.ts';
import { DEAL_COUNTER } from './market-deals.ts';
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
  /** Acts with the height of the head that they were done at: a reorg does not undo them. */
  #acts: { height: number; act: ChainAct }[] = [];
  readonly #clearings = new DealClearings(this.state);
  #fork = 0;

  constructor(policy: ChainPolicy) {
    this.policy = policy;
    this.store = new ChainStore(policy.seed, genesisTipset(policy));
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
      case 'stretch':
        this.#extendTo(entry.height, entry.nullRounds);
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
    this.#acts.push({ height: this.head.height, act });
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
    if (executions.some(({ signed }) => signed.message.method === METHOD_PUBLISH)) this.#clearings.noteNew();
    this.#clearings.run(height, head.height);
    const messages = this.#selectable(height);
    const minerIds = [...state.miners.entries()].map(([id]) => id);
    this.store.add(nextTipset(policy, head, { height, fork: this.#fork, minerIds, messages, executions }), executions);
    pool.prune(messages, (signed) => this.#stateNonce(signed));
  }

  /** Goes on to the tipset at `height`; rounds in which nothing happens take no room. */
  #extendTo(height: number, nullRounds: number): void {
    while (this.head.height < height) {
      const busy = Math.min(this.#nextBusyHeight(), height + 1);
      if (busy - 1 > this.head.height) this.#extendEmpty(busy - 1, nullRounds);
      if (busy <= height) this.#extend(busy);
    }
  }

  #extendEmpty(toHeight: number, nullRounds: number): void {
    const { head, state } = this;
    const minerIds = [...state.miners.entries()].map(([id]) => id);
    const place = { base: head, fromHeight: head.height + 1, toHeight };
    this.store.addEmpty({ ...place, fork: this.#fork, nullRounds, minerIds });
  }

  /** The next height at which a tipset holds messages, or shows what messages or the market's cron did before it. */
  #nextBusyHeight(): number {
    const { head, pool } = this;
    const next = head.height + 1;
    if (head.messages.length > 0 || this.#selectable(next).length > 0) return next;
    return Math.min(Math.max(next, this.#clearings.next() + 1), pool.nextDueAfter(next));
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

  /**
   * Another fork wins: the top tipsets go, with what their messages did, and others without those messages take their
   * heights. Messages land again some epochs later unless `reland` is false. `reuseIds` gives the dropped deals' ids
   * to whatever is published next; otherwise strangers' deals took them.
   */
  #reorganize({ depth, reland, reuseIds }: ReorgEntry): void {
    const { state, store, pool } = this;
    const nextDeal = state.counters.get(DEAL_COUNTER);
    const headHeight = this.head.height;
    const base = store.below(depth) ?? store.genesis;
    const dropped = store.dropAbove(base);
    const messages = dropped.flatMap((link) => (isStretch(link) ? [] : link.messages));
    state.truncate(base.height);
    this.#fork += 1;
    if (!reuseIds && nextDeal !== undefined) state.counters.set(DEAL_COUNTER, nextDeal, this.#actHeight);
    this.#clearings.rebuild();
    this.#repeatActs(base);
    if (reland) pool.returnDropped(messages, headHeight + RELAND_EPOCHS);
    else pool.forgetSenders(new Set(messages.map(({ message }) => formatAddress(message.from))));
    for (const link of dropped) this.#rebuild(link);
  }

  /** What was done above `base` was done by nobody on the chain, and so stays. */
  #repeatActs(base: Tipset): void {
    const dropped = this.#acts.filter(({ height }) => height > base.height);
    this.#acts = this.#acts.filter(({ height }) => height <= base.height);
    for (const { act } of dropped) this.#act(act);
  }

  #rebuild(link: Link): void {
    if (isStretch(link)) this.#extendTo(link.toHeight, link.nullRounds);
    else this.#extend(link.height);
  }
}
