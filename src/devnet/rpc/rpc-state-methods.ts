import { multiaddr } from '@multiformats/multiaddr';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';

import { formatAddress } from '../../filecoin/address.ts';
import { cidJson } from '../ledger/chain-message.ts';
import { quotedCollateralBounds } from '../ledger/chain-policy.ts';
import { sectorKey, type MarketDeal, type Miner } from '../ledger/chain-state.ts';
import { receiptJson } from '../ledger/chain-tipset.ts';
import type { ChainView } from '../ledger/chain-view.ts';
import { actorNotFound, methodFault } from './rpc-fault.ts';
import { messageLookback } from './rpc-gateway.ts';
import { read, stateAt, type RpcContext, type RpcMethods } from './rpc-method.ts';
import type { RpcParams } from './rpc-params.ts';
import { drawBytes, drawFraction } from '../seeded-draw.ts';

/** By sector size: proof types of window PoSt and of seals, and sectors of a partition (go-state-types proof.go). */
const proofs = new Map([
  [1n << 11n, { windowPost: 10, seal: 5, partition: 2 }],
  [1n << 23n, { windowPost: 11, seal: 6, partition: 2 }],
  [1n << 29n, { windowPost: 12, seal: 7, partition: 2 }],
  [1n << 35n, { windowPost: 13, seal: 8, partition: 2_349 }],
  [1n << 36n, { windowPost: 14, seal: 9, partition: 2_300 }],
]);

/** fil-commitment-sealed under poseidon-bls12_381-a2-fc1. */
const SEALED_CODEC = 0xf102;
const SEALED_HASH = 0xb401;
/** What the recorded node pledged for its sector; nothing here follows from it. */
const INITIAL_PLEDGE = '1281249979893022720';
/** Quality multiplier of verified space. */
const VERIFIED_QUALITY = 10n;

export const stateMethods: RpcMethods = {
  StateMinerInfo: read(2, (context, params) => minerInfoJson(minerAt(context, params, 1).miner)),
  StateMinerPower: read(2, (context, params) => {
    const { id, height } = minerAt(context, params, 1);
    const { view } = context;
    return { MinerPower: powerOf(view, height, id), TotalPower: powerOf(view, height), HasMinPower: true };
  }),
  StateListMiners: read(1, (context, params) => {
    const { height } = stateAt(context, params.tipsetKey(0));
    return [...context.view.state.miners.entries(height)].map(([id]) => `f0${id}`);
  }),
  StateLookupID: read(2, (context, params) => `f0${actorAt(context, params, 1).id}`),
  StateAccountKey: read(2, (context, params) => {
    const { view } = context;
    const { height } = stateAt(context, params.tipsetKey(1));
    const address = params.address(0);
    if (address.protocol === 1 || address.protocol === 3) return formatAddress(address);
    if (view.idOf(address, height) === undefined) throw methodFault(`failed to find actor: ${formatAddress(address)}`);
    const key = view.keyText(address, height);
    if (key === undefined) throw methodFault(`failed to get account actor state for ${formatAddress(address)}`);
    return key;
  }),
  StateMarketBalance: read(2, (context, params) => {
    const { id, height } = actorAt(context, params, 1);
    const { escrow, locked } = context.view.state.escrowOf(id, height);
    return { Escrow: escrow.toString(), Locked: locked.toString() };
  }),
  StateVerifiedClientStatus: read(2, (context, params) => {
    const { id, height } = actorAt(context, params, 1);
    return context.view.state.dataCaps.get(id, height)?.toString() ?? null;
  }),
  StateDealProviderCollateralBounds: read(3, (context, params) => {
    stateAt(context, params.tipsetKey(2));
    params.bool(1);
    const { min, max } = quotedCollateralBounds(context.view.policy, BigInt(params.integer(0)));
    return { Min: min.toString(), Max: max.toString() };
  }),
  StateMarketStorageDeal: read(2, (context, params) => {
    const dealId = params.integer(0);
    const shown = shownDeal(context, BigInt(dealId), stateAt(context, params.tipsetKey(1)).height);
    if (shown !== undefined) return dealJson(shown);
    const why = 'deal may not have completed sealing before deal proposal start epoch, or deal may have been slashed';
    throw methodFault(`deal ${dealId} not found - ${why}`);
  }),
  StateSectorGetInfo: read(3, (context, params) => {
    const { id, height, miner } = minerAt(context, params, 2);
    return sectorJson(context.view, { minerId: id, height, miner }, params.integer(1));
  }),
  StateSearchMsg: read(4, (context, params) => {
    const { view, faults } = context;
    const { tipset: from } = stateAt(context, params.tipsetKey(0));
    const cid = params.cid(1);
    const lookback = messageLookback(params.integer(2), faults);
    const allowsReplaced = params.bool(3);
    if (view.store.message(cid) === undefined) {
      // The verb is a slip of Lotus itself; readers match the text that nodes send.
      throw methodFault(`%!w(*errors.errorString=&{failed to load message}): ipld: could not find ${cid}`);
    }
    const found = view.findMessage(cid, from);
    if (found === undefined || (lookback >= 0 && from.height - found.tipset.height > lookback)) return null;
    const landed = found.execution.signed.cid;
    if (!landed.equals(cid) && !allowsReplaced) return null;
    return {
      Message: cidJson(landed),
      Receipt: receiptJson(found.execution),
      ReturnDec: null,
      TipSet: found.tipset.key.map((block) => cidJson(block)),
      Height: found.tipset.height,
    };
  }),
  WalletBalance: read(1, ({ view }, params) => {
    const height = view.stateHeight(view.head);
    const id = view.idOf(params.address(0), height);
    const account = id === undefined ? undefined : view.state.accounts.get(id, height);
    return (account?.balance ?? 0n).toString();
  }),
};

interface ActorAt {
  id: bigint;
  /** State is what was written below it. */
  height: number;
}

function actorAt(context: RpcContext, params: RpcParams, keyAt: number): ActorAt {
  const { height } = stateAt(context, params.tipsetKey(keyAt));
  const id = context.view.idOf(params.address(0), height);
  if (id === undefined) throw actorNotFound();
  return { id, height };
}

function minerAt(context: RpcContext, params: RpcParams, keyAt: number): ActorAt & { miner: Miner } {
  const { height } = stateAt(context, params.tipsetKey(keyAt));
  const { state } = context.view;
  const id = state.idOf(params.address(0), height);
  if (id === undefined) throw methodFault('failed to load miner actor: actor not found');
  const miner = state.miners.get(id, height);
  if (miner === undefined) throw methodFault('failed to load miner actor state: unknown actor code');
  return { id, height, miner };
}

/** The deal in the state, as this node shows it: one that lies shows some active that are not, and hides others. */
function shownDeal({ view, faults }: RpcContext, dealId: bigint, height: number): MarketDeal | undefined {
  const deal = view.state.deals.get(dealId, height);
  if (deal === undefined) return undefined;
  const strikes = (lie: 'fakeActive' | 'hideDeals'): boolean =>
    faults[lie] > 0 && drawFraction(view.policy.seed, `${lie}/${dealId}`) < faults[lie];
  if (strikes('hideDeals')) return undefined;
  if (deal.sectorStartEpoch >= 0 || !strikes('fakeActive')) return deal;
  return { ...deal, sectorNumber: 1, sectorStartEpoch: Math.min(height, deal.proposal.startEpoch) - 1 };
}

function minerInfoJson(miner: Miner): Record<string, unknown> {
  const { windowPost, partition } = proofsOf(miner);
  const multiaddrs = miner.multiaddrs.map((text) => Buffer.from(multiaddr(text).bytes).toString('base64'));
  return {
    Owner: `f0${miner.owner}`,
    Worker: `f0${miner.worker}`,
    NewWorker: '<empty>',
    ControlAddresses: null,
    WorkerChangeEpoch: -1,
    PeerId: miner.peerId ?? null,
    Multiaddrs: multiaddrs.length === 0 ? null : multiaddrs,
    WindowPoStProofType: windowPost,
    SectorSize: Number(miner.sectorBytes),
    WindowPoStPartitionSectors: partition,
    ConsensusFaultElapsed: -1,
    PendingOwnerAddress: null,
    Beneficiary: `f0${miner.owner}`,
    BeneficiaryTerm: { Quota: '0', UsedQuota: '0', Expiration: 0 },
    PendingBeneficiaryTerm: null,
  };
}

function proofsOf(miner: Miner): { windowPost: number; seal: number; partition: number } {
  return proofs.get(miner.sectorBytes) ?? { windowPost: 13, seal: 8, partition: 2_349 };
}

/** A label of bytes shows as an empty text, as on a real node. */
function dealJson({ proposal, sectorNumber, sectorStartEpoch, lastUpdatedEpoch }: MarketDeal): Record<string, unknown> {
  return {
    Proposal: {
      PieceCID: cidJson(proposal.pieceCid),
      PieceSize: Number(proposal.pieceBytes),
      VerifiedDeal: proposal.verified,
      Client: formatAddress(proposal.client),
      Provider: formatAddress(proposal.provider),
      Label: typeof proposal.label === 'string' ? proposal.label : '',
      StartEpoch: proposal.startEpoch,
      EndEpoch: proposal.endEpoch,
      StoragePricePerEpoch: proposal.pricePerEpoch.toString(),
      ProviderCollateral: proposal.providerCollateral.toString(),
      ClientCollateral: proposal.clientCollateral.toString(),
    },
    State: {
      SectorNumber: sectorNumber,
      SectorStartEpoch: sectorStartEpoch,
      LastUpdatedEpoch: lastUpdatedEpoch,
      SlashEpoch: -1,
    },
  };
}

function sectorJson(
  view: ChainView,
  { minerId, height, miner }: { minerId: bigint; height: number; miner: Miner },
  sectorNumber: number,
): Record<string, unknown> | null {
  const key = sectorKey(minerId, sectorNumber);
  const sector = view.state.sectors.get(key, height);
  if (sector === undefined || height > sector.expirationEpoch) return null;
  const digest = drawBytes(view.policy.seed, `sealed/${key}`, 32);
  digest[31] = (digest[31] ?? 0) & 0x3f;
  return {
    SectorNumber: sectorNumber,
    SealProof: proofsOf(miner).seal,
    SealedCID: cidJson(CID.createV1(SEALED_CODEC, createDigest(SEALED_HASH, digest))),
    Activation: sector.activationEpoch,
    Expiration: sector.expirationEpoch,
    DealWeight: sector.dealWeight.toString(),
    VerifiedDealWeight: sector.verifiedDealWeight.toString(),
    InitialPledge: INITIAL_PLEDGE,
    ExpectedDayReward: null,
    ExpectedStoragePledge: null,
    PowerBaseEpoch: sector.activationEpoch,
    ReplacedDayReward: null,
    SectorKeyCID: null,
    Flags: 1,
    DailyFee: '0',
  };
}

/** Of one miner, or of all. */
function powerOf(view: ChainView, height: number, minerId?: bigint): Record<string, string> {
  let raw = 0n;
  let adjusted = 0n;
  for (const [key, sector] of view.state.sectors.entries(height)) {
    if (minerId !== undefined && !key.startsWith(`${minerId}/`)) continue;
    if (height > sector.expirationEpoch) continue;
    const miner = view.state.miners.get(BigInt(key.slice(0, key.indexOf('/'))), height);
    const epochs = BigInt(sector.expirationEpoch - sector.activationEpoch);
    raw += miner?.sectorBytes ?? 0n;
    adjusted += (miner?.sectorBytes ?? 0n) + (sector.verifiedDealWeight * (VERIFIED_QUALITY - 1n)) / epochs;
  }
  return { RawBytePower: raw.toString(), QualityAdjPower: adjusted.toString() };
}
