import { parseAddress } from '../../filecoin/address.ts';
import { actorEventJson, fieldName, type EventPlace } from '../ledger/actor-event.ts';
import type { ChainView, EventQuery } from '../ledger/chain-view.ts';
import { drawFraction } from '../seeded-draw.ts';
import { methodFault } from './rpc-fault.ts';
import { checkLookback } from './rpc-gateway.ts';
import { knownTipset, read, type RpcContext, type RpcMethods } from './rpc-method.ts';
import { readCid, RpcRecord } from './rpc-params.ts';

/** As on a node: reverted events are given too, in their place by height. */
export const eventMethods: RpcMethods = {
  GetActorEventsRaw: read(1, (context, params) => {
    const { view, faults } = context;
    if (faults.eventsDisabled) throw methodFault('module disabled, enable with Events.EnableActorEventsAPI');
    const query = eventQuery(context, params.record(0));
    const found: { height: number; json: Record<string, unknown> }[] = [];
    const add = (json: Record<string, unknown>, height: number): void => {
      if (found.length >= faults.maxEvents) {
        throw methodFault('filter matches too many events, try a more restricted filter');
      }
      found.push({ height, json });
    };
    for (const [event, place] of view.events(query)) {
      if (!isHidden(context, place)) add(actorEventJson(event, place), place.height);
    }
    for (const [event, place] of view.revertedEvents(query)) {
      add({ ...actorEventJson(event, place), reverted: true }, place.height);
    }
    return found.length === 0 ? null : found.toSorted((a, b) => a.height - b.height).map(({ json }) => json);
  }),
};

/** A node that lies, or whose index has holes, tells nothing of some messages. */
function isHidden({ view, faults }: RpcContext, { message }: EventPlace): boolean {
  return faults.hideEvents > 0 && drawFraction(view.policy.seed, `hideEvents/${message}`) < faults.hideEvents;
}

function eventQuery(context: RpcContext, filter: RpcRecord): EventQuery {
  const { view } = context;
  const tipsetKey = filter.list('tipsetKey').map((item) => readCid(item));
  const tipset = tipsetKey.length === 0 ? undefined : knownTipset(view, tipsetKey);
  const range = heightRange(context, filter);
  return { emitterIds: emittersOf(view, filter), fields: eventFields(filter), ...range, tipset };
}

function emittersOf(view: ChainView, filter: RpcRecord): Set<bigint> {
  const ids = filter.list('addresses').flatMap((text) => {
    const before = view.stateHeight(view.head);
    const id = typeof text === 'string' ? view.idOf(parseAddress(text), before) : undefined;
    return id === undefined ? [] : [id];
  });
  // Emitters that nobody knows leave a filter that nothing passes, not one that all passes.
  return new Set(ids.length === 0 && filter.list('addresses').length > 0 ? [-1n] : ids);
}

function eventFields(filter: RpcRecord): Map<string, Set<string>> {
  const fields = filter.get('fields') === undefined ? [] : filter.record('fields').entries();
  return new Map(
    fields.map(([key, values]) => {
      const list: unknown[] = Array.isArray(values) ? values : [];
      const names = list.map((item) => {
        const record = new RpcRecord(item);
        return fieldName(record.integer('codec'), Buffer.from(record.bytes('value')).toString('base64'));
      });
      return [key, new Set(names)];
    }),
  );
}

/** lotus node/impl/full/actor_events.go parseHeightRange. */
function heightRange(context: RpcContext, filter: RpcRecord): { fromHeight: number; toHeight: number } {
  const head = context.view.head.height;
  const { maxEventRange: max } = context.faults;
  const from = filter.get('fromHeight') === undefined ? -1 : filter.integer('fromHeight');
  const to = filter.get('toHeight') === undefined ? -1 : filter.integer('toHeight');
  if (filter.get('fromHeight') !== undefined && from < 0) {
    throw methodFault("range 'from' must be greater than or equal to 0");
  }
  if (from >= 0) checkLookback(context, { height: from, stem: 'bad tipset height' });
  const fault = rangeFault({ from, to, head, max });
  if (fault !== undefined) throw methodFault(`invalid epoch range: ${fault}`);
  return { fromHeight: Math.max(0, from), toHeight: to === -1 ? head : to };
}

function rangeFault(range: { from: number; to: number; head: number; max: number }): string | undefined {
  const { from, to, head, max } = range;
  if (from >= 0 && to === -1 && head - from > max) return `'from' height is too far in the past (maximum: ${max})`;
  if (from >= 0 && to >= 0 && from > to) return `'to' height (${from}) must be after 'from' height (${to})`;
  if (from >= 0 && to >= 0 && to - from > max) {
    return `range between to and 'from' heights is too large (maximum: ${max})`;
  }
  if (from === -1 && to > 0 && to - head > max) return `'to' height is too far in the future (maximum: ${max})`;
  return undefined;
}
