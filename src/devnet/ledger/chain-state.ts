import type { CID } from 'multiformats/cid';

import { formatAddress, idAddress, idOf, type Address } from '../../filecoin/address.ts';
import type { DealProposal } from '../../filecoin/proposal.ts';
import { VersionedMap } from './versioned-map.ts';

export interface Account {
  /** f1 or f3. Built-in actors that hold money have none. */
  key: Address | undefined;
  /** attoFIL. */
  balance: bigint;
  nonce: number;
}

export interface Miner {
  /** Actor ids of accounts. */
  owner: bigint;
  worker: bigint;
  peerId: string | undefined;
  multiaddrs: readonly string[];
  sectorBytes: bigint;
}

/** Money in the market actor, attoFIL. */
export interface Escrow {
  escrow: bigint;
  locked: bigint;
}

export interface MarketDeal {
  /** Client and provider are ID addresses. */
  proposal: DealProposal;
  /** The CID that keeps an equal proposal out while this one is pending. */
  proposalCid: CID;
  /** 0 until a sector is proven. */
  sectorNumber: number;
  sectorStartEpoch: number;
  lastUpdatedEpoch: number;
}

export interface Sector {
  activationEpoch: number;
  expirationEpoch: number;
  dealIds: readonly bigint[];
  /** Padded bytes times epochs. */
  dealWeight: bigint;
  verifiedDealWeight: bigint;
}

export const MARKET_ACTOR_ID = 5n;
/** What is slashed or burnt goes here (builtin-actors BURNT_FUNDS_ACTOR). */
export const BURNT_FUNDS_ACTOR_ID = 99n;
export const marketAddress: Address = idAddress(MARKET_ACTOR_ID);

/** Lotus gives accounts of a local chain ids from 100 on, and actors made later ids from 1000 on. */
const FIRST_ACCOUNT_ID = 100n;
const FIRST_MINER_ID = 1000n;

const noEscrow: Escrow = { escrow: 0n, locked: 0n };

/**
 * The state of all actors, at every height. A write belongs to the height of the tipset whose messages are executed;
 * the state "as of" a tipset is what was written below its height, as it is the state its parents left.
 */
export class ChainState {
  readonly accounts = new VersionedMap<bigint, Account>();
  readonly accountIds = new VersionedMap<string, bigint>();
  readonly miners = new VersionedMap<bigint, Miner>();
  readonly escrows = new VersionedMap<bigint, Escrow>();
  readonly dataCaps = new VersionedMap<bigint, bigint>();
  readonly deals = new VersionedMap<bigint, MarketDeal>();
  /** Deal ids by the CID of their normalised proposal. */
  readonly pending = new VersionedMap<string, bigint>();
  /** By `miner id/sector number`. */
  readonly sectors = new VersionedMap<string, Sector>();
  readonly counters = new VersionedMap<string, bigint>();

  truncate(height: number): void {
    for (const table of [this.accounts, this.accountIds, this.miners, this.escrows, this.dataCaps]) {
      table.truncate(height);
    }
    for (const table of [this.deals, this.pending, this.sectors, this.counters]) table.truncate(height);
  }

  /** The actor's id; undefined when there is no such actor. */
  idOf(address: Address, before?: number): bigint | undefined {
    if (address.protocol !== 0) return this.accountIds.get(formatAddress(address), before);
    const id = idOf(address);
    if (id === MARKET_ACTOR_ID) return id;
    const actor = this.accounts.get(id, before) ?? this.miners.get(id, before);
    return actor === undefined ? undefined : id;
  }

  /** The f1 or f3 address of an account; undefined for other actors. */
  keyOf(address: Address, before?: number): Address | undefined {
    const id = this.idOf(address, before);
    return id === undefined ? undefined : this.accounts.get(id, before)?.key;
  }

  escrowOf(id: bigint, before?: number): Escrow {
    return this.escrows.get(id, before) ?? noEscrow;
  }

  /** Adds to escrow and to what of it is locked; amounts may be negative. */
  addEscrow(id: bigint, change: Escrow, height: number): void {
    const old = this.escrowOf(id);
    const next = { escrow: old.escrow + change.escrow, locked: old.locked + change.locked };
    if (next.locked < 0n || next.escrow < next.locked) {
      throw new Error(`the escrow of f0${id} would be ${next.escrow} with ${next.locked} locked`);
    }
    this.escrows.set(id, next, height);
  }

  addBalance(id: bigint, amount: bigint, height: number): void {
    const account = this.accounts.get(id) ?? { key: undefined, balance: 0n, nonce: 0 };
    const balance = account.balance + amount;
    if (balance < 0n) throw new Error(`the balance of f0${id} would be ${balance}`);
    this.accounts.set(id, { ...account, balance }, height);
  }

  /** The id of the account with this key; makes the account when it is new. */
  ensureAccount(key: Address, height: number): bigint {
    const known = this.idOf(key);
    if (known !== undefined) return known;
    const id = this.#freeId('account', FIRST_ACCOUNT_ID, height);
    this.accounts.set(id, { key, balance: 0n, nonce: 0 }, height);
    this.accountIds.set(formatAddress(key), id, height);
    return id;
  }

  freeMinerId(height: number): bigint {
    return this.#freeId('miner', FIRST_MINER_ID, height);
  }

  isFree(id: bigint): boolean {
    return this.accounts.get(id) === undefined && this.miners.get(id) === undefined;
  }

  /** Takes the next number of a counter that starts at `first`. */
  take(counter: string, first: bigint, height: number): bigint {
    const number = this.counters.get(counter) ?? first;
    this.counters.set(counter, number + 1n, height);
    return number;
  }

  /** Is the account behind `id` owner or worker of the miner? */
  controls(accountId: bigint, minerId: bigint): boolean {
    const miner = this.miners.get(minerId);
    return miner !== undefined && (miner.owner === accountId || miner.worker === accountId);
  }

  #freeId(counter: string, first: bigint, height: number): bigint {
    for (;;) {
      const id = this.take(counter, first, height);
      if (this.isFree(id)) return id;
    }
  }
}

export function sectorKey(minerId: bigint, sectorNumber: number): string {
  return `${minerId}/${sectorNumber}`;
}
