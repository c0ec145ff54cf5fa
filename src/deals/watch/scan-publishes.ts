import type { DealEvent } from '../../chain/actor-events.ts';
import type { ExecutedMessage } from '../../chain/executed-messages.ts';
import type { Tipset } from '../../chain/head.ts';
import { formatAddress } from '../../filecoin/address.ts';
import { FormatError } from '../../filecoin/format-error.ts';
import { decodeSignedProposal, type DealProposal } from '../../filecoin/proposal.ts';
import { decodePublishParams, decodePublishReturn } from '../../filecoin/publish.ts';
import type { WatchDeps } from './watch-sight.ts';

/** PublishStorageDeals of the market actor, whatever letter the node writes. */
const MARKET_ACTOR = /^[ft]05$/;
const PUBLISH_METHOD = 4n;
/** A tipset costs three calls; this many are in flight or queued at the gate at once. */
export const SCAN_RANGE_EPOCHS = 60;

export const SCAN_LIMIT =
  'the nodes tell no actor events: publishes inside other messages are not seen, and what follows a publish is seen later';

export function isPublish({ to, method }: Pick<ExecutedMessage, 'to' | 'method'>): boolean {
  return MARKET_ACTOR.test(to) && method === PUBLISH_METHOD;
}

/** A proposal of a publish message with the deal id that the market actor gave it; undefined id: it was dropped. */
export interface PublishedProposal {
  proposal: DealProposal;
  proposalBytes: Uint8Array;
  dealId: bigint | undefined;
}

/** The proposals of a publish message by its receipt. Throws FormatError on what the market actor never writes. */
export function readPublish(params: Uint8Array, returned: Uint8Array): PublishedProposal[] {
  const { ids, valid } = decodePublishReturn(returned);
  if (ids.length !== valid.length) {
    throw new FormatError('INVALID_RECEIPT', `a publish of ${valid.length} valid deals returned ${ids.length} ids`);
  }
  return decodePublishParams(params).map((signed, index) => {
    const { proposal, proposalBytes } = decodeSignedProposal(signed);
    const at = valid.indexOf(index);
    return { proposal, proposalBytes, dealId: at < 0 ? undefined : ids[at] };
  });
}

interface OwnClients {
  /** `f0…` by address as signed, and by itself: a proposal may name either. */
  ids: ReadonlyMap<string, string>;
}

function toEvents(executed: ExecutedMessage, parent: Tipset, { ids }: OwnClients): DealEvent[] {
  if (!isPublish(executed) || executed.exitCode !== 0) return [];
  return readPublish(executed.params, executed.returned).flatMap(({ proposal, dealId }) => {
    const client = ids.get(formatAddress(proposal.client));
    if (client === undefined || dealId === undefined) return [];
    const provider = formatAddress(proposal.provider);
    const { height, key: tipset } = parent;
    return [{ type: 'deal-published' as const, dealId, client, provider, height, tipset, message: executed.message }];
  });
}

/** A stranger's message that we cannot read must not stop the scan: what it holds is not ours in the form we sign. */
function readableEvents(deps: WatchDeps, executed: ExecutedMessage, parent: Tipset, clients: OwnClients): DealEvent[] {
  try {
    return toEvents(executed, parent, clients);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    deps.log.warn({ message: executed.message, error: error.message }, 'watch.unreadable_publish');
    return [];
  }
}

/**
 * Our deals in publish messages of tipsets from `from` to below `next`, out of messages and receipts: for nodes without
 * actor events. The receipts of a tipset stand in the one after it, so that an empty round at `next` leaves the tipset
 * before it to the range that follows.
 */
export async function scanPublishes(
  deps: WatchDeps,
  { from, next, ids }: { from: number; next: number } & OwnClients,
  signal: AbortSignal,
): Promise<DealEvent[]> {
  const heights = Array.from({ length: next - from + 1 }, (_, offset) => from + offset);
  const tipsets = await Promise.all(heights.map((height) => deps.chain.tipsetAt(height, signal)));
  const distinct = tipsets.filter(({ height }, at) => height !== tipsets[at - 1]?.height);
  const events = await Promise.all(
    distinct.slice(1).map(async (child, at) => {
      const parent = distinct[at];
      if (parent === undefined) return [];
      const executed = await deps.chain.parentMessages(child.key[0] ?? '', signal);
      return executed.flatMap((one) => readableEvents(deps, one, parent, { ids }));
    }),
  );
  return events.flat();
}
