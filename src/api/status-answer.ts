import type { Kysely } from 'kysely';
import { Type, type Static } from 'typebox';
import type { SealRules } from '../aggregate/place/placement-rules.ts';
import type { Clock } from '../clock.ts';
import type { DB } from '../db/tables.ts';
import { dealObject, type DealNetwork } from '../deals/status/deal-object.ts';
import { queueing } from '../deals/status/queueing.ts';
import { findUploadStatus, type UploadStatus } from '../deals/status/status-store.ts';
import { formatOffsetTime } from '../deals/status/time-format.ts';
import { LadingError } from '../errors.ts';
import { pinStatus } from '../pins/pin-status.ts';
import { exactly, nullableNumber, nullableText } from './schemas.ts';

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
  status: Type.Union([Type.Literal('queued'), Type.Literal('pinned'), Type.Literal('failed')]),
});

const queueingSchema = exactly({
  reason: Type.String(),
  position: Type.Union([Type.Number(), Type.Null()], {
    description:
      'From 1: the place in the queue or, once placed, in the aggregate. Null where it has none; and in the answer to an upload when more than 10,000 wait before it: a later status tells it.',
  }),
  aggregateFill: nullableNumber,
  sealsBy: nullableText,
  etaActive: exactly({ p50: nullableText, p95: nullableText }),
  parts: Type.Optional(exactly({ placed: Type.Integer(), total: Type.Integer() })),
  missing: Type.Optional(exactly({ count: Type.Number(), first: Type.String() })),
  failure: Type.Optional(Type.String()),
  lastRefusal: Type.Optional(exactly({ miner: Type.String(), text: Type.String(), at: Type.String() })),
});

/** What every answer about an upload holds, beside its CID. */
export const statusProperties = {
  pin: pinSchema,
  deals: Type.Array(dealSchema),
  queueing: Type.Optional(queueingSchema),
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
  clock: Clock;
  sealRules: SealRules;
  /** Undefined while the genesis of the network is not known: then there are no deals either. */
  dealNetwork(): DealNetwork | undefined;
  chainView?(): ChainView;
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
  const status = await findUploadStatus(deps.kysely, root);
  return status && statusAnswer(deps, status);
}

/** What an upload's status says, in the words of an answer. */
export function statusAnswer(deps: StatusDeps, status: UploadStatus): Static<typeof answer> {
  const pin = {
    cid: status.root,
    created: formatOffsetTime(status.createdAt, 'microseconds'),
    // As nft.storage: 0 while the size of the DAG is not known.
    size: Number(status.dagBytes ?? 0),
    status: pinStatus(status.state),
  };
  const deals = status.deals.map((row) => dealObject(row, knownNetwork(deps)));
  const waiting = deals.length > 0 && !status.partsWait ? {} : { queueing: queueing(status, deps.sealRules) };
  return { pin, deals, ...waiting, ...freshness(deps) };
}

function freshness({ chainView }: StatusDeps) {
  const view = chainView?.();
  if (view === undefined || view.degraded.length === 0) return {};
  // A chain that was never read has no time as of which anything is known.
  const asOf = view.asOf === undefined ? {} : { asOf: formatOffsetTime(view.asOf, 'microseconds') };
  return { ...asOf, degraded: [...view.degraded] };
}
