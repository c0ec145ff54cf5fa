import { multiaddr } from '@multiformats/multiaddr';
import type { CID } from 'multiformats/cid';

import { formatAddress, idAddress, idOf, parseAddress, type Address } from '../../filecoin/address.ts';
import { cborArray, cborUint } from '../../filecoin/cbor.ts';
import { keyAddress, signWithKey } from '../../filecoin/lotus-key.ts';
import { signedProposalCid } from '../../filecoin/proposal.ts';
import { decodePublishReturn, encodePublishParams } from '../../filecoin/publish.ts';
import type { Signature } from '../../filecoin/signature.ts';
import { ChainDriver, type LedgerOptions } from './chain-driver.ts';
import type { SignedMessage } from './chain-message.ts';
import { quotedCollateralBounds } from './chain-policy.ts';
import { ChainRefusal } from './chain-refusal.ts';
import { marketAddress } from './chain-state.ts';
import type { ChainView } from './chain-view.ts';
import { composeMessage, composeReplacement } from './compose-message.ts';
import { composeProof } from './compose-proof.ts';
import { METHOD_PUBLISH, METHOD_SETTLE } from './execute-market-message.ts';
import type { Execution } from './execute-message.ts';
import { METHOD_TERMINATE } from './execute-miner-message.ts';
import { viewOf, type NodeSight } from './stray-view.ts';
import type {
  DealOnChain,
  LedgerPort,
  MinerRecord,
  MinerRegistration,
  ProofAttempt,
  PublishAttempt,
  PublishResult,
} from './ledger-port.ts';
import { ownerKey, workerKey } from './miner-keys.ts';
import { encodeSectorNumber } from './sector-params.ts';

/** Sector sizes of the network (go-state-types seal proofs). */
export const SECTOR_SIZES: readonly bigint[] = [1n << 11n, 1n << 23n, 1n << 29n, 1n << 35n, 1n << 36n];
const DEFAULT_SECTOR_BYTES = 1n << 35n;
/** As much as the recorded node's miners have in escrow. */
const DEFAULT_ESCROW = 5_000n * 10n ** 18n;
/** Below are built-in actors and the first accounts. */
const FIRST_MINER_ID = 1000n;
/** Messages that wait for another one, or land again after a reorg, take a few tipsets. */
const MAX_TIPSETS_TO_LAND = 10;

/** A devnet's chain with its clock, as providers, the RPC and the control door use it. */
export class Ledger extends ChainDriver implements LedgerPort {
  head(): { height: number } {
    return { height: this.core.head.height };
  }

  genesisSeconds(): number {
    return this.core.policy.genesisSeconds;
  }

  /** The chain as a node sees it: a good one, or one that lags, lies about its height, or is on a fork. */
  view(sight: NodeSight = {}): ChainView {
    return viewOf(this.core, sight);
  }

  registerMiner(miner: MinerRegistration): MinerRecord {
    const id = this.#minerId(miner.id);
    const old = this.core.state.miners.get(id);
    const sectorBytes = miner.sectorBytes ?? old?.sectorBytes ?? DEFAULT_SECTOR_BYTES;
    if (!SECTOR_SIZES.includes(sectorBytes)) {
      throw new ChainRefusal('BAD_SECTOR_SIZE', `no sector has ${sectorBytes} bytes; 32GiB and 64GiB are usual`);
    }
    const multiaddrs = miner.multiaddrs ?? old?.multiaddrs ?? [];
    for (const text of multiaddrs) checkMultiaddr(text);
    this.record({
      op: 'miner',
      id: id.toString(),
      peerId: miner.peerId ?? old?.peerId,
      multiaddrs,
      sectorBytes: sectorBytes.toString(),
      escrow: (miner.escrow ?? DEFAULT_ESCROW).toString(),
    });
    return this.#minerRecord(id);
  }

  miner(id: string): MinerRecord | undefined {
    const number = this.#idOfMiner(id);
    return number === undefined ? undefined : this.#minerRecord(number);
  }

  minerIds(): string[] {
    return [...this.core.state.miners.entries()].map(([id]) => `f0${id}`);
  }

  accountKey(address: Address): Address | undefined {
    return this.core.state.keyOf(address);
  }

  lookupId(address: Address): Address | undefined {
    const id = this.core.state.idOf(address);
    return id === undefined ? undefined : idAddress(id);
  }

  marketBalance(address: Address): { escrow: bigint; locked: bigint } | undefined {
    const id = this.core.state.idOf(address);
    return id === undefined ? undefined : this.core.state.escrowOf(id);
  }

  dataCap(address: Address): bigint | undefined {
    const id = this.core.state.idOf(address);
    return id === undefined ? undefined : this.core.state.dataCaps.get(id);
  }

  collateralBounds(pieceBytes: bigint, _verified: boolean): { min: bigint; max: bigint } {
    return quotedCollateralBounds(this.core.policy, pieceBytes);
  }

  signAsWorker(minerId: string, message: Uint8Array): Signature {
    return signWithKey(workerKey(this.core.policy.seed, this.#knownMiner(minerId)), message);
  }

  publish(minerId: string, signedProposals: readonly Uint8Array[]): PublishAttempt {
    return this.publishParams(minerId, encodePublishParams(signedProposals));
  }

  /** As `publish`, with encoded PublishStorageDealsParams. */
  publishParams(minerId: string, params: Uint8Array): PublishAttempt {
    const key = workerKey(this.core.policy.seed, this.#knownMiner(minerId));
    const signed = composeMessage(this.core, key, { to: marketAddress, method: METHOD_PUBLISH, params });
    const { exitCode, error, dropped } = this.core.tryMessage(signed);
    if (exitCode !== 0) return { kind: 'refused', reason: refusalText(exitCode, error), dropped };
    this.push(signed);
    return { kind: 'pushed', message: signed.cid, dropped };
  }

  findPublish(minerId: string, signedProposal: Uint8Array): CID | undefined {
    const worker = this.miner(minerId)?.worker;
    if (worker === undefined) return undefined;
    const sent = this.core.publishes.get(signedProposalCid(signedProposal).toString()) ?? [];
    const isTheirs = ({ message, cid }: SignedMessage): boolean =>
      formatAddress(message.from) === formatAddress(worker) && this.core.isLive(cid);
    return sent.findLast(isTheirs)?.cid;
  }

  publishResult(message: CID): PublishResult | undefined {
    const found = this.execution(message);
    if (found === undefined) return undefined;
    const { exitCode, returned, height } = found;
    const { ids, valid } = exitCode === 0 ? decodePublishReturn(returned) : { ids: [], valid: [] };
    return { message, exitCode, dealIds: ids, valid, height };
  }

  /** What a message did, and in which tipset it is; undefined until its receipt is on the chain. */
  execution(message: CID): (Execution & { height: number }) | undefined {
    const record = this.core.store.messageOrReplacement(message);
    const tipset = record?.tipset;
    if (tipset === undefined) return undefined;
    const execution = this.core.store.executionsOf(tipset).find(({ signed }) => signed === record?.signed);
    return execution === undefined ? undefined : { ...execution, height: tipset.height };
  }

  deal(dealId: bigint): DealOnChain | undefined {
    const deal = this.core.state.deals.get(dealId);
    if (deal === undefined) return undefined;
    const { proposal, sectorNumber, sectorStartEpoch, lastUpdatedEpoch } = deal;
    return { dealId, proposal, sectorNumber, sectorStartEpoch, lastUpdatedEpoch, slashEpoch: -1 };
  }

  proveSector(minerId: string, dealIds: readonly bigint[]): ProofAttempt {
    const proof = composeProof(this.core, this.#knownMiner(minerId), dealIds);
    if ('missing' in proof) return { kind: 'refused', reason: `deal ${proof.missing} is not in the state` };
    const { exitCode, error } = this.core.tryMessage(proof.prove);
    if (exitCode !== 0) return { kind: 'refused', reason: refusalText(exitCode, error) };
    this.push(proof.preCommit);
    this.push(proof.prove);
    return { kind: 'pushed', message: proof.prove.cid, sectorNumber: proof.sectorNumber };
  }

  /** Pushes the termination of the sector that holds a deal. Throws ChainRefusal. */
  terminateSectorOf(dealId: bigint): CID {
    const deal = this.knownDeal(dealId);
    if (deal.sectorStartEpoch < 0) throw new ChainRefusal('DEAL_NOT_ACTIVE', `deal ${dealId} is in no sector yet`);
    const { provider } = deal.proposal;
    const key = workerKey(this.core.policy.seed, idOf(provider));
    const params = encodeSectorNumber(deal.sectorNumber);
    return this.send(composeMessage(this.core, key, { to: provider, method: METHOD_TERMINATE, params }));
  }

  /** Pushes SettleDealPayments of a deal, sent by its provider. Throws ChainRefusal. */
  settle(dealId: bigint): CID {
    const { provider } = this.knownDeal(dealId).proposal;
    const params = cborArray([cborUint(dealId)]);
    const key = workerKey(this.core.policy.seed, idOf(provider));
    return this.send(composeMessage(this.core, key, { to: marketAddress, method: METHOD_SETTLE, params }));
  }

  /** Pushes a message after trying it. Throws ChainRefusal when it would fail. */
  send(signed: SignedMessage): CID {
    const { exitCode, error } = this.core.tryMessage(signed);
    if (exitCode !== 0) throw new ChainRefusal('EXIT_CODE', refusalText(exitCode, error), { exitCode });
    this.push(signed);
    return signed.cid;
  }

  /**
   * Sends a message that waits in the pool once more with a higher fee, as a provider does whose message is stuck: the
   * new one takes its place, and only its CID comes onto the chain. Throws ChainRefusal.
   */
  replace(message: CID): CID {
    const old = this.core.store.message(message)?.signed;
    if (old === undefined || !this.core.pool.has(old)) {
      throw new ChainRefusal('NOT_PENDING', `message ${message} does not wait in the pool`);
    }
    const signed = composeReplacement(this.core, old);
    if (signed === undefined) {
      throw new ChainRefusal('NOT_PENDING', 'only messages of miners can be signed again here');
    }
    this.push(signed);
    return signed.cid;
  }

  /** Pushes a message of a stranger as it is: it may fail on the chain. */
  accept(signed: SignedMessage): void {
    this.push(signed);
  }

  /** Makes tipsets until the message has its receipt. */
  land(message: CID): Execution & { height: number } {
    for (let i = 0; i < MAX_TIPSETS_TO_LAND; i += 1) {
      const found = this.execution(message);
      if (found !== undefined) return found;
      this.advance(1);
    }
    throw new ChainRefusal('NOT_LANDED', `message ${message} did not land in ${MAX_TIPSETS_TO_LAND} tipsets`);
  }

  /** Credits escrow and wallet (attoFIL) and DataCap (bytes); makes the account of a key address when it is new. */
  fund(address: Address, { attoFil, dataCapBytes }: { attoFil: bigint; dataCapBytes: bigint }): bigint {
    const isKey = address.protocol === 1 || address.protocol === 3;
    if (!isKey && this.core.state.idOf(address) === undefined) {
      throw new ChainRefusal('NO_ACTOR', `${formatAddress(address)} is not on this chain; new accounts are f1 or f3`);
    }
    const act = { address: formatAddress(address), attoFil: attoFil.toString(), dataCapBytes: dataCapBytes.toString() };
    this.record({ op: 'fund', ...act });
    return this.core.state.idOf(address) ?? 0n;
  }

  knownDeal(dealId: bigint): DealOnChain {
    const deal = this.deal(dealId);
    if (deal === undefined) throw new ChainRefusal('NO_DEAL', `deal ${dealId} not found`);
    return deal;
  }

  #minerRecord(id: bigint): MinerRecord {
    const miner = this.core.state.miners.get(id);
    if (miner === undefined) throw new ChainRefusal('NO_MINER', `f0${id} is not a miner`);
    const { seed } = this.core.policy;
    const { peerId, multiaddrs, sectorBytes } = miner;
    const [owner, worker] = [keyAddress(ownerKey(seed, id)), keyAddress(workerKey(seed, id))];
    return { id: `f0${id}`, owner, worker, peerId, multiaddrs, sectorBytes };
  }

  #minerId(text: string | undefined): bigint {
    if (text === undefined) return nextMinerId(this.minerIds());
    const id = idOf(parseAddress(text));
    const isTaken = this.core.state.accounts.get(id) !== undefined;
    if (id < FIRST_MINER_ID || isTaken) {
      throw new ChainRefusal('BAD_MINER_ID', `${text} cannot be a miner: take a free id from f0${FIRST_MINER_ID} on`);
    }
    return id;
  }

  #idOfMiner(text: string): bigint | undefined {
    const address = parseAddress(text);
    const id = address.protocol === 0 ? idOf(address) : undefined;
    return id !== undefined && this.core.state.miners.get(id) !== undefined ? id : undefined;
  }

  #knownMiner(text: string): bigint {
    const id = this.#idOfMiner(text);
    if (id === undefined) throw new ChainRefusal('NO_MINER', `${text} is not a miner on this chain: register it first`);
    return id;
  }
}

/** Opens the journal in `dir` and goes on from it, or begins a chain. */
export function openLedger(options: LedgerOptions): Ledger {
  return new Ledger(options);
}

function nextMinerId(ids: readonly string[]): bigint {
  const taken = ids.map((id) => idOf(parseAddress(id)));
  let id = FIRST_MINER_ID;
  while (taken.includes(id)) id += 1n;
  return id;
}

function checkMultiaddr(text: string): void {
  try {
    multiaddr(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ChainRefusal('BAD_MULTIADDR', `${text} is not a multiaddr: ${why}`);
  }
}

/** In the words of gas estimation, which is where a real node tells it. */
function refusalText(exitCode: number, error: string | undefined): string {
  return `message execution failed: exit ${exitCode}, reason: ${error ?? 'unknown'}`;
}
