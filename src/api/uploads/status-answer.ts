import type { Kysely } from 'kysely';
import { Type, type Static } from 'typebox';
import type { SealRules } from '../../aggregate/place/placement-rules.ts';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { dealObject, type DealNetwork, type DealObject } from '../../deals/status/deal-object.ts';
import type { Outlooks } from '../../deals/status/forecast.ts';
import { etaOf, queueing } from '../../deals/status/queueing.ts';
import type { StatusReader } from '../../deals/status/status-reader.ts';
import type { UploadStatus } from '../../deals/status/status-store.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { LadingError } from '../../errors.ts';
import { pinStatus } from '../../pins/pin-status.ts';
import { exactly, nullableNumber, nullableText } from '../answers/schemas.ts';

export const dealSchema = exactly({
  status: Type.Union([Type.Literal('queued'), Type.Literal('active'), Type.Literal('terminated')]),
  stage: Type.String(),
  lastChanged: Type.String(),
  chainDealID: nullableNumber,
  datamodelSelector: nullableText,
  statusText: Type.String(),
  dealActivation: Type.String(),
  dealExpiration: Type.String(),
  miner: Type.String(),
  pieceCid: Type.String(),
  batchRootCid: Type.String(),
});

const pinSchema = exactly({
  cid: Type.String(),
  created: Type.String(),
  size: Type.Number(),
  status: Type.Union(
    [Type.Literal('queued'), Type.Literal('pinning'), Type.Literal('pinned'), Type.Literal('failed')],
    {
      description:
        'pinned: every block is durably stored, in the IPFS Cluster where one is configured, else here, or in deals once the operator released it. queued and pinning: not yet. failed: not, for the reason in its history.',
    },
  ),
});

const etaSchema = Type.Object(
  { p50: nullableText, p95: nullableText },
  {
    additionalProperties: false,
    description:
      'When its first deal will be active, by how long it took others that had come as far: half of them were sooner than p50, 95 of 100 sooner than p95. Null: not known, as fewer than 19 like it were measured, or not for so long.',
  },
);

const queueingSchema = exactly({
  reason: Type.String({
    description:
      'incomplete, failed, waiting_for_aggregate, aggregate_filling (until it is full or old enough), waiting_for_age (full enough, closed by its age), sealing, waiting_for_provider, waiting_for_datacap, waiting_for_escrow, waiting_for_chain, proposing_paused, bytes_released.',
  }),
  position: Type.Union([Type.Number(), Type.Null()], {
    description:
      'From 1: the place in the queue or, once placed, in the aggregate. Null where it has none; where more than 100,000 wait before it; and in the answer to an upload when more than 10,000 do: a later status tells it.',
  }),
  aggregateFill: nullableNumber,
  sealsBy: nullableText,
  etaActive: etaSchema,
  parts: Type.Optional(exactly({ placed: Type.Integer(), total: Type.Integer() })),
  missing: Type.Optional(exactly({ count: Type.Number(), first: Type.String() })),
  failure: Type.Optional(Type.String()),
  lastRefusal: Type.Optional(exactly({ miner: Type.String(), text: Type.String(), at: Type.String() })),
  why: Type.Optional(
    Type.Array(exactly({ code: Type.String(), providers: Type.Integer(), text: Type.String() }), {
      description:
        'What the last decision refused providers for, counted; and `proposing_off` while the operator has paused all proposing.',
    }),
  ),
});

/** What every answer about an upload holds, beside its CID. */
export const statusProperties = {
  pin: pinSchema,
  deals: Type.Array(dealSchema),
  queueing: Type.Optional(queueingSchema),
  /** Beside deals that are all queued; without deals it stands in `queueing`. */
  etaActive: Type.Optional(etaSchema),
  asOf: Type.Optional(Type.String()),
  degraded: Type.Optional(Type.Array(Type.String())),
};

/** How fresh our view of the chain is, and in words what is wrong with it. */
export interface ChainView {
  asOf: Date | undefined;
  degraded: readonly string[];
  /** The chain cannot be read or believed, since then where that is known; a limit of our nodes alone is none. */
  fault?: { since: Date | undefined };
}

export interface StatusDeps {
  kysely: Kysely<DB>;
  statuses: StatusReader;
  clock: Clock;
  sealRules: SealRules;
  /** Undefined while the genesis of the network is not known: then there are no deals either. */
  dealNetwork(): DealNetwork | undefined;
  chainView?(): ChainView;
  /** Where an IPFS Cluster is configured: what is wrong with what is known of its pins, in words. */
  pinView?(): { degraded: string | undefined };
  /** How long things take, by what was measured; undefined: nothing is known. */
  outlooks?(): Outlooks;
}

/** The genesis and address letter, or `NETWORK_UNKNOWN`: an answer without the deals would be a lie. */
export function knownNetwork({ dealNetwork }: Pick<StatusDeps, 'dealNetwork'>): DealNetwork {
  const network = dealNetwork();
  if (network !== undefined) return network;
  throw new LadingError('NETWORK_UNKNOWN', 'the chain was not reached yet, so times cannot be told; try again later', {
    retry: 'later',
  });
}

const answer = exactly(statusProperties);

/** The status of the upload with this root (CIDv1 base32); undefined when there is none. */
export async function findStatusAnswer(deps: StatusDeps, root: string): Promise<Static<typeof answer> | undefined> {
  const status = await deps.statuses.find(root);
  return status && statusAnswer(deps, status);
}

/** What an upload's status says, in the words of an answer. */
export function statusAnswer(deps: StatusDeps, status: UploadStatus): Static<typeof answer> {
  const pin = {
    cid: status.root,
    created: formatOffsetTime(status.createdAt, 'microseconds'),
    // As nft.storage: 0 while the size of the DAG is not known.
    size: Number(status.dagBytes ?? 0),
    status: pinStatus({ state: status.state, ...status.pin }, deps.pinView !== undefined),
  };
  const deals = status.deals.map((row) => dealObject(row, knownNetwork(deps)));
  return { pin, deals, ...awaited(deps, status, deals), ...freshness(deps) };
}

const NOTHING_MEASURED: Outlooks = new Map();

/** Why and when: in `queueing` where deals are wanting, else the time alone until the first of them is active. */
function awaited(deps: StatusDeps, status: UploadStatus, deals: readonly DealObject[]) {
  const isDone = deals.length > 0 && !status.partsWait;
  if (isDone && deals.some((deal) => deal.status !== 'queued')) return {};
  const outlooks = deps.outlooks?.() ?? NOTHING_MEASURED;
  const now = deps.clock.now();
  if (isDone) return { etaActive: etaOf(status, { outlooks, now }) };
  // Without a chain configured there is none to wait for.
  const chainFault = deps.chainView?.().fault?.since !== undefined;
  return { queueing: queueing(status, { rules: deps.sealRules, now, outlooks, chainFault }) };
}

function freshness({ chainView, pinView }: StatusDeps) {
  const chain = chainView?.() ?? { asOf: undefined, degraded: [] };
  const pins = pinView?.().degraded;
  const degraded = [...chain.degraded, ...(pins === undefined ? [] : [pins])];
  if (degraded.length === 0) return {};
  // A chain that was never read has no time as of which anything is known; a fault of pins alone says its own.
  const since = chain.degraded.length > 0 ? chain.asOf : undefined;
  return { ...(since !== undefined && { asOf: formatOffsetTime(since, 'microseconds') }), degraded };
}
