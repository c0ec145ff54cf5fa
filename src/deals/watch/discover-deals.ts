import type { Kysely } from 'kysely';
import { dealEventTypes, MAX_EVENT_RANGE_EPOCHS, type DealEvent } from '../../chain/actor-events.ts';
import type { DB } from '../../db/tables.ts';
import { listCursors, saveCursor } from './chain-cursor-store.ts';
import { sightingsOf } from './identify-deals.ts';
import { hasNoEvents, hearEvents } from './hear-events.ts';
import { findClientId } from './observe-deal.ts';
import { SCAN_LIMIT, SCAN_RANGE_EPOCHS, scanPublishes } from './scan-publishes.ts';
import { commitSightings, type Sight, type WatchDeps } from './watch-sight.ts';
import { listClients } from './watch-store.ts';

/** A week of downtime is seven ranges: after so many a pass ends, and the next goes on at once. */
const MAX_RANGES = 4;
/** Deals of one commit: a few seconds of work and a megabyte or two, however many a range holds. */
const DEALS_PER_COMMIT = 500;
export interface Discovery {
  /** Every deal event in a tipset below this height was looked at. */
  eventsBelow: number;
  changes: number;
  /** Everything that the sight's state has the effects of was looked at. */
  complete: boolean;
  /** What the node cannot show us, where it has no events. */
  limited?: string;
}

/**
 * Looks at the events of our clients' deals, range by range, each committed with what was found in it; where the node
 * has no events, at the publish messages themselves, with the same cursor.
 */
export async function discoverDeals(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<Discovery> {
  const clients = await knownClients(deps, signal);
  try {
    return await discoverBy(
      deps,
      sight,
      { rangeEpochs: MAX_EVENT_RANGE_EPOCHS, read: readEvents },
      { clients, signal },
    );
  } catch (error) {
    if (!hasNoEvents(error)) throw error;
  }
  const found = await discoverBy(
    deps,
    sight,
    { rangeEpochs: SCAN_RANGE_EPOCHS, read: readMessages },
    { clients, signal },
  );
  return { ...found, limited: SCAN_LIMIT };
}

/** Our clients on chain: `f0…` by the address that proposals were signed with. */
type Clients = ReadonlyMap<string, string>;

async function knownClients(deps: WatchDeps, signal: AbortSignal): Promise<Clients> {
  const ids = new Map<string, string>();
  for (const client of await listClients(deps.db)) {
    const id = await findClientId(deps, client, signal);
    if (id !== undefined) ids.set(client, id);
  }
  return ids;
}

interface Range {
  from: number;
  /** Not included. */
  next: number;
  clients: Clients;
}

interface Source {
  rangeEpochs: number;
  read(deps: WatchDeps, range: Range, signal: AbortSignal): Promise<DealEvent[]>;
}

function readEvents({ chain }: WatchDeps, { from, next, clients }: Range, signal: AbortSignal): Promise<DealEvent[]> {
  const ids = [...new Set(clients.values())];
  return hearEvents(chain, { fromHeight: from, toHeight: next - 1, types: dealEventTypes, clients: ids, signal });
}

function readMessages(deps: WatchDeps, { from, next, clients }: Range, signal: AbortSignal): Promise<DealEvent[]> {
  const ids = new Map([...clients, ...[...clients.values()].map((id) => [id, id] as const)]);
  return scanPublishes(deps, { from, next, ids }, signal);
}

async function discoverBy(
  deps: WatchDeps,
  sight: Sight,
  source: Source,
  { clients, signal }: { clients: Clients; signal: AbortSignal },
): Promise<Discovery> {
  const end = sight.tipset.height;
  let eventsBelow = sight.eventsBelow;
  let changes = 0;
  for (let ranges = 0; eventsBelow < end && ranges < MAX_RANGES; ranges += 1) {
    signal.throwIfAborted();
    // Without a client on chain there was nothing to publish for; a tipset's own messages show in the next one's state.
    const next = clients.size === 0 ? end : Math.min(end, eventsBelow + source.rangeEpochs);
    const events = clients.size === 0 ? [] : await source.read(deps, { from: eventsBelow, next, clients }, signal);
    changes += await commitEvents(deps, sight, { events, next }, signal);
    // Nothing above what the nodes disagree about counts as looked at.
    if (deps.view.disputed.size > 0) break;
    eventsBelow = next;
  }
  return { eventsBelow, changes, complete: eventsBelow >= end };
}

/** Some deals at a time, earliest first; the cursor moves with the last of them. */
async function commitEvents(
  deps: WatchDeps,
  sight: Sight,
  { events, next }: { events: DealEvent[]; next: number },
  signal: AbortSignal,
): Promise<number> {
  const byDeal = [...Map.groupBy(events, ({ dealId }) => dealId)];
  let changes = 0;
  let start = 0;
  do {
    signal.throwIfAborted();
    const chunk = byDeal.slice(start, start + DEALS_PER_COMMIT);
    start += DEALS_PER_COMMIT;
    const sightings = await sightingsOf(deps, chunk, sight, signal);
    const moveCursor = (trx: Kysely<DB>, now: Date) =>
      saveCursor(trx, 'events', { height: next, tipset: sight.tipset.key }, now);
    const isThrough = start >= byDeal.length && deps.view.disputed.size === 0;
    changes += await commitSightings(deps, sight, sightings, isThrough ? moveCursor : undefined);
  } while (start < byDeal.length);
  return changes;
}

/**
 * A pass that ended in a fault of the node: what it told of the newest range, above all that nothing happened, is not to
 * be relied on, and is asked for again.
 */
export async function distrustNewest({ db, clock }: WatchDeps, sight: Sight): Promise<void> {
  const { events } = await listCursors(db);
  if (events === undefined || events.height <= sight.eventsBelow) return;
  const height = Math.max(sight.eventsBelow, events.height - MAX_EVENT_RANGE_EPOCHS);
  await saveCursor(db, 'events', { ...events, height }, clock.now());
}
