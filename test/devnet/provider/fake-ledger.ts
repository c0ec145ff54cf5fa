import type { CID } from 'multiformats/cid';
import { formatAddress, idAddress, parseAddress, type Address } from '../../../src/filecoin/address.ts';
import { proposalCid, decodeSignedProposal, type DealProposal } from '../../../src/filecoin/proposal.ts';
import { keyAddress, signWithKey, type LotusKey } from '../../../src/filecoin/lotus-key.ts';
import type {
  DealOnChain,
  LedgerPort,
  MinerRecord,
  MinerRegistration,
  PublishResult,
} from '../../../src/devnet/ledger/ledger-port.ts';

const WORKER: LotusKey = { type: 'secp256k1', privateKey: new Uint8Array(32).fill(9) };
const CLIENT_ID = 1_234n;

interface Published {
  message: CID;
  miner: string;
  deals: Uint8Array[];
  result: PublishResult | undefined;
}

/** A chain that a test moves by hand: the smallest thing that behaves as the port says. One client, id f01234. */
export class FakeLedger implements LedgerPort {
  height = 1_000;
  escrow = 10n ** 21n;
  cap: bigint | undefined = 1n << 45n;
  /** Indexes that the next publish drops at gas estimation. */
  drops: { index: number; reason: string }[] = [];
  readonly client: Address;
  readonly published: Published[] = [];
  readonly deals = new Map<bigint, DealOnChain>();
  readonly proofs: bigint[] = [];
  readonly #miners = new Map<string, MinerRecord>();
  readonly #listeners = new Set<(height: number) => void>();
  #nextDeal = 1n;
  #proving: bigint[] = [];

  constructor(client: Address) {
    this.client = client;
  }

  /** Executes what is in the pool, then tells the new head. */
  tick(epochs = 1): void {
    for (let i = 0; i < epochs; i += 1) {
      this.height += 1;
      for (const publish of this.published) publish.result ??= this.#execute(publish);
      for (const id of this.#proving.splice(0)) this.#activate(id);
      for (const listener of this.#listeners) listener(this.height);
    }
  }

  /** Takes a publish off the chain, as a reorg does; the next tick executes it again, with other ids. */
  reorg(): void {
    this.deals.clear();
    this.#proving = [];
    for (const publish of this.published) publish.result = undefined;
  }

  head() {
    return { height: this.height };
  }

  genesisSeconds() {
    return 1_700_000_000;
  }

  registerMiner(miner: MinerRegistration): MinerRecord {
    const record: MinerRecord = {
      id: miner.id ?? 'f0999',
      owner: keyAddress(WORKER),
      worker: keyAddress(WORKER),
      peerId: miner.peerId,
      multiaddrs: miner.multiaddrs ?? [],
      sectorBytes: 32n << 30n,
    };
    this.#miners.set(record.id, record);
    return record;
  }

  miner(id: string) {
    return this.#miners.get(id);
  }

  minerIds() {
    return [...this.#miners.keys()];
  }

  accountKey(address: Address) {
    return this.#isClient(address) ? this.client : undefined;
  }

  lookupId(address: Address) {
    return this.#isClient(address) ? idAddress(CLIENT_ID) : undefined;
  }

  marketBalance(address: Address) {
    return this.#isClient(address) ? { escrow: this.escrow, locked: 0n } : undefined;
  }

  dataCap(address: Address) {
    return this.#isClient(address) ? this.cap : undefined;
  }

  collateralBounds() {
    return { min: 1_000n, max: 10n ** 27n };
  }

  signAsWorker(_: string, message: Uint8Array) {
    return signWithKey(WORKER, message);
  }

  publish(miner: string, signedProposals: readonly Uint8Array[]) {
    const dropped = this.drops.splice(0);
    const deals = signedProposals.filter((_, index) => !dropped.some((drop) => drop.index === index));
    if (deals.length === 0) return { kind: 'refused' as const, reason: 'no deal is valid', dropped };
    const message = proposalCid(Buffer.concat([...deals, Buffer.from(`${miner}/${this.published.length}`)]));
    this.published.push({ message, miner, deals, result: undefined });
    return { kind: 'pushed' as const, message, dropped };
  }

  findPublish(miner: string, signedProposal: Uint8Array) {
    const has = (deals: Uint8Array[]) => deals.some((deal) => Buffer.compare(deal, signedProposal) === 0);
    return this.published.find((publish) => publish.miner === miner && has(publish.deals))?.message;
  }

  publishResult(message: CID) {
    return this.published.find((publish) => publish.message.equals(message))?.result;
  }

  deal(id: bigint) {
    return this.deals.get(id);
  }

  proveSector(_: string, dealIds: readonly bigint[]) {
    this.proofs.push(...dealIds);
    this.#proving.push(...dealIds);
    return { kind: 'pushed' as const, message: proposalCid(Buffer.from(String(dealIds))), sectorNumber: 7 };
  }

  isFinal(height: number) {
    return height < this.height - 900;
  }

  onEpoch(listener: (height: number) => void) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #isClient(address: Address): boolean {
    return [formatAddress(this.client), `f0${CLIENT_ID}`].includes(formatAddress(address));
  }

  #execute({ message, deals }: Published): PublishResult {
    const dealIds = deals.map((bytes) => this.#insert(decodeSignedProposal(bytes).proposal));
    return { message, exitCode: 0, dealIds, valid: deals.map((_, index) => index), height: this.height - 1 };
  }

  #insert(proposal: DealProposal): bigint {
    const dealId = this.#nextDeal++;
    const onChain = { ...proposal, client: parseAddress(`f0${CLIENT_ID}`) };
    const state = { sectorNumber: 0, sectorStartEpoch: -1, lastUpdatedEpoch: -1, slashEpoch: -1 };
    this.deals.set(dealId, { dealId, proposal: onChain, ...state });
    return dealId;
  }

  #activate(id: bigint): void {
    const deal = this.deals.get(id);
    if (deal !== undefined) this.deals.set(id, { ...deal, sectorNumber: 7, sectorStartEpoch: this.height - 1 });
  }
}
