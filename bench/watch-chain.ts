import type { DealEvent, DealEventType } from '../src/chain/actor-events.ts';
import type { WatcherDeps } from '../src/deals/watch/watch.ts';
import { formatAddress, idAddress } from '../src/filecoin/address.ts';
import { keyAddress, type LotusKey } from '../src/filecoin/lotus-key.ts';
import { pieceCidV1 } from '../src/filecoin/piece.ts';
import type { DealProposal } from '../src/filecoin/proposal.ts';

export const KEY: LotusKey = { type: 'secp256k1', privateKey: new Uint8Array(32).fill(7) };
const CLIENT_ID = 'f0103';
const PROVIDER_ID = 1_002n;
export const START_HEIGHT = 100_000;
const FINALITY = 900;
/** Ids of ours lie apart from each other: twenty deals of the market to one of ours. */
export const ID_STEP = 20;
/** Calls of one request (src/chain/rpc-endpoint.ts). */
const BATCH_CALLS = 50;

export const proposal: DealProposal = {
  pieceCid: pieceCidV1(new Uint8Array(32).fill(1)),
  pieceBytes: 2_048n,
  verified: false,
  client: keyAddress(KEY),
  provider: idAddress(PROVIDER_ID),
  label: 'bench',
  startEpoch: START_HEIGHT + 40_000,
  endEpoch: START_HEIGHT + 1_500_000,
  pricePerEpoch: 0n,
  providerCollateral: 0n,
  clientCollateral: 0n,
};

/** Where such a chain stands: its height, and from where on its tipsets were made anew. */
export interface SyntheticPast {
  head?: number;
  forks?: number[];
}

/** Activations of the last deals in turn, spread evenly over epochs: told as they are asked for, and kept nowhere. */
export interface Stretch {
  from: number;
  epochs: number;
  events: number;
}

/** At which height of the stretch an event of it is. */
export function heightIn({ from, epochs, events }: Stretch, told: number): number {
  return from + Math.floor((told * epochs) / events);
}

/** Which events of the stretch are at this height: from the first of them to below the second. */
function toldAt({ from, epochs, events }: Stretch, height: number): [number, number] {
  const first = (epoch: number) => Math.min(events, Math.max(0, Math.ceil((epoch * events) / epochs)));
  return [first(height - from), first(height - from + 1)];
}

/**
 * A chain with what the watch asks of it: every deal is the one proposal, in a sector since the first epoch; of the last
 * ones, so many as `unproven`, each has an epoch of its own. It holds little beside these, so that the memory of a watch
 * over it is the watch's.
 */
export function syntheticChain(
  deals: number,
  unproven: number,
  { head = START_HEIGHT, forks = [] }: SyntheticPast = {},
) {
  /** Of the last deals: since when each is in a sector; 0: in none. */
  const lastProvedAt = new Int32Array(unproven);
  const first = deals - unproven + 1;
  const events = new Map<number, DealEvent[]>();
  let stretch: Stretch = { from: 0, epochs: 1, events: 0 };
  let calls = 0;
  const fork = (height: number) => forks.filter((root) => height > root).length;
  const keyAt = (height: number) => [`bafyt${fork(height)}x${height}`];
  const tipset = (height: number) => ({
    key: keyAt(height),
    parents: keyAt(height - 1),
    height,
    timestampSeconds: 30 * height,
  });
  const counted = <T>(value: T): Promise<T> => {
    calls += 1;
    return Promise.resolve(value);
  };
  const heightOf = (key: readonly string[] | undefined) => (key === undefined ? head : Number(key[0]?.split('x')[1]));
  const chainProposal = {
    ...proposal,
    pieceCid: proposal.pieceCid.toString(),
    client: CLIENT_ID,
    provider: formatAddress(proposal.provider),
    label: 'bench',
  };
  const dealAt = (id: bigint, key: readonly string[] | undefined) => {
    const deal = Number(id) / ID_STEP;
    const proved = deal < first ? 1 : (lastProvedAt[deal - first] ?? 0);
    const shown = proved > 0 && proved < heightOf(key) ? proved : -1;
    return { proposal: chainProposal, sectorNumber: shown < 0 ? 0n : id, sectorStartEpoch: shown, slashEpoch: -1 };
  };
  const eventOf = (type: DealEventType, deal: number, height: number): DealEvent => ({
    type,
    dealId: BigInt(deal * ID_STEP),
    client: CLIENT_ID,
    provider: formatAddress(proposal.provider),
    height,
    tipset: tipset(height).key,
    message: `bafy${type}${deal}`,
  });
  const eventsAt = (height: number): DealEvent[] => {
    const [from, to] = toldAt(stretch, height);
    const inStretch = Array.from({ length: to - from }, (_, at) =>
      eventOf('deal-activated', first + ((from + at) % unproven), height),
    );
    return [...(events.get(height) ?? []), ...inStretch];
  };
  const reads: Omit<WatcherDeps['chain'], 'session'> = {
    head: () => counted(tipset(head)),
    finalized: () => counted(tipset(head - FINALITY)),
    tipsetAt: (height) => counted(tipset(height)),
    lookupId: () => counted(CLIENT_ID),
    marketDeal: (id, { tipset: key }) => counted(dealAt(id, key)),
    // Of a node that takes batches.
    marketDeals: (ids, { tipset: key }) => {
      calls += Math.ceil(ids.length / BATCH_CALLS) - 1;
      return counted(new Map(ids.map((id) => [id, { value: dealAt(id, key) }])));
    },
    dealEvents: ({ fromHeight, toHeight }) => {
      const found: DealEvent[] = [];
      for (let height = fromHeight; height <= toHeight; height += 1) found.push(...eventsAt(height));
      return counted(found);
    },
    parentMessages: () => counted([]),
    searchMessage: () => counted(undefined),
    getMessage: () => counted(undefined),
  };
  // One that is asked again what would change a deal: its calls count as well.
  const witness = {
    node: 'witness',
    marketDeals: reads.marketDeals,
    dealEvents: reads.dealEvents,
    distrust: () => undefined,
  };
  const node = { ...reads, node: 'synthetic', witnesses: [witness] };
  const chain = { ...node, session: () => Promise.resolve(node) };
  return {
    chain,
    first,
    lastProvedAt,
    takeCalls: () => {
      const taken = calls;
      calls = 0;
      return taken;
    },
    height: () => head,
    past: (): SyntheticPast => ({ head, forks: [...forks] }),
    grow: (epochs: number) => {
      head += epochs;
    },
    reorg: (root: number) => forks.push(root),
    tell(type: DealEventType, deal: number, height: number) {
      events.set(height, [...(events.get(height) ?? []), eventOf(type, deal, height)]);
    },
    tellEvenly(told: Stretch) {
      stretch = told;
    },
    forget: (height: number) => events.delete(height),
  };
}

export type Synthetic = ReturnType<typeof syntheticChain>;
