import type { CID } from 'multiformats/cid';

import { parseAddress } from '../../filecoin/address.ts';
import { actorEventJson, entriesJson, fieldName } from '../ledger/actor-event.ts';
import { blockJson } from '../ledger/chain-block.ts';
import { cidJson, messageJson, type SignedMessage } from '../ledger/chain-message.ts';
import { blocksOf, receiptJson, tipsetJson, type Tipset } from '../ledger/chain-tipset.ts';
import type { ChainView, EventQuery } from '../ledger/chain-view.ts';
import { methodFault } from './rpc-fault.ts';
import { knownTipset, read, type RpcMethods } from './rpc-method.ts';
import { readCid, RpcRecord } from './rpc-params.ts';

/** The version that the recorded answers are from. */
const VERSION = { Version: '1.36.1+lading-devnet', APIVersion: 131_840, BlockDelay: 30, Agent: 'lotus' };
const NETWORK_VERSION = 28;
/** Defaults of a node's event index: MaxFilterHeightRange and MaxFilterResults. */
const MAX_EVENT_RANGE = 2_880;
const MAX_EVENTS = 10_000;

export const chainMethods: RpcMethods = {
  Version: read(0, () => VERSION),
  StateNetworkName: read(0, ({ view }) => view.policy.networkName),
  StateNetworkVersion: read(1, ({ view }, params) => {
    knownTipset(view, params.tipsetKey(0));
    return NETWORK_VERSION;
  }),
  StateGetNetworkParams: read(0, ({ view }) => ({
    NetworkName: view.policy.networkName,
    BlockDelaySecs: 30,
    GenesisTimestamp: view.policy.genesisSeconds,
    SupportedProofTypes: [5, 6, 7, 8, 9],
    PreCommitChallengeDelay: 0,
  })),
  ChainHead: read(0, ({ view }) => tipsetJson(view.policy, view.head)),
  ChainGetFinalizedTipSet: read(0, ({ view }) => tipsetJson(view.policy, view.finalized)),
  ChainGetGenesis: read(0, ({ view }) => tipsetJson(view.policy, view.store.genesis)),
  ChainGetTipSet: read(1, ({ view }, params) => tipsetJson(view.policy, knownTipset(view, params.tipsetKey(0)))),
  ChainGetTipSetByHeight: read(2, ({ view }, params) => {
    const from = knownTipset(view, params.tipsetKey(1));
    return tipsetJson(view.policy, tipsetAt(view, params.integer(0), from));
  }),
  ChainGetTipSetAfterHeight: read(2, ({ view }, params) => {
    const from = knownTipset(view, params.tipsetKey(1));
    const height = params.integer(0);
    const found = tipsetAt(view, height, from);
    return tipsetJson(view.policy, found.height < height ? (view.store.childOf(found) ?? found) : found);
  }),
  ChainGetBlock: read(1, ({ view }, params) => {
    const cid = params.cid(0);
    const tipset = blockTipset(view, cid);
    return blocksOf(view.policy, tipset)
      .filter((_, index) => tipset.key[index]?.equals(cid))
      .map((block) => blockJson(block))[0];
  }),
  ChainGetMessage: read(1, ({ view }, params) => {
    const cid = params.cid(0);
    const record = view.store.message(cid);
    if (record === undefined) throw methodFault(`ipld: could not find ${cid}`);
    return messageJson(record.signed);
  }),
  ChainGetBlockMessages: read(1, ({ view }, params) => {
    const cid = params.cid(0);
    const tipset = blockTipset(view, cid);
    return blockMessagesJson(tipset.key[0]?.equals(cid) === true ? tipset.messages : []);
  }),
  ChainGetParentMessages: read(1, ({ view }, params) => {
    const parent = view.store.parentOf(blockTipset(view, params.cid(0)));
    return listOrNull((parent?.messages ?? []).map((signed) => apiMessageJson(signed)));
  }),
  ChainGetParentReceipts: read(1, ({ view }, params) => {
    const parent = view.store.parentOf(blockTipset(view, params.cid(0)));
    if (parent === undefined) return null;
    return view.store.executionsOf(parent).map((execution) => receiptJson(execution));
  }),
  ChainGetMessagesInTipset: read(1, ({ view }, params) => {
    const { messages } = knownTipset(view, params.tipsetKey(0));
    return listOrNull(messages.map((signed) => apiMessageJson(signed)));
  }),
  ChainGetEvents: read(1, ({ view }, params) => {
    const root = params.cid(0);
    const events = view.store.eventsByRoot(root);
    if (events === undefined) throw methodFault(`load events amt: failed to load root: ipld: could not find ${root}`);
    return events.map((event) => ({ Emitter: Number(event.emitterId), Entries: entriesJson(event) }));
  }),
  GetActorEventsRaw: read(1, ({ view }, params) => {
    const query = eventQuery(view, params.record(0));
    const found: Record<string, unknown>[] = [];
    for (const [event, place] of view.events(query)) {
      if (found.length >= MAX_EVENTS) throw methodFault('filter matches too many events, try a more restricted filter');
      found.push(actorEventJson(event, place));
    }
    return listOrNull(found);
  }),
};

/** Go marshals a slice that nothing was appended to as null. */
function listOrNull<T>(list: T[]): T[] | null {
  return list.length === 0 ? null : list;
}

function tipsetAt(view: ChainView, height: number, from: Tipset): Tipset {
  if (height > from.height) {
    const message = `looking for tipset with height greater than start point, req: ${height}, head: ${from.height}`;
    throw methodFault(message);
  }
  if (height < 0) throw methodFault(`height ${height} is below genesis`);
  return view.store.atOrBelow(height);
}

function blockTipset(view: ChainView, cid: CID): Tipset {
  const tipset = view.store.byBlock(cid);
  if (tipset === undefined || tipset.height > view.head.height) throw methodFault(`ipld: could not find ${cid}`);
  return tipset;
}

function apiMessageJson(signed: SignedMessage): Record<string, unknown> {
  return { Cid: cidJson(signed.cid), Message: messageJson(signed) };
}

function blockMessagesJson(messages: readonly SignedMessage[]): Record<string, unknown> {
  const bls = messages.filter(({ signature }) => signature.type === 2);
  const secp = messages.filter(({ signature }) => signature.type !== 2);
  return {
    BlsMessages: bls.map((signed) => messageJson(signed)),
    SecpkMessages: secp.map((signed) => ({
      Message: messageJson(signed),
      Signature: { Type: signed.signature.type, Data: Buffer.from(signed.signature.data).toString('base64') },
      CID: cidJson(signed.cid),
    })),
    Cids: [...bls, ...secp].map(({ cid }) => cidJson(cid)),
  };
}

function eventQuery(view: ChainView, filter: RpcRecord): EventQuery {
  const emitterIds = new Set(
    filter.list('addresses').flatMap((text) => {
      const id = typeof text === 'string' ? view.idOf(parseAddress(text), view.head) : undefined;
      return id === undefined ? [] : [id];
    }),
  );
  // Emitters that nobody knows leave a filter that nothing passes, not one that all passes.
  if (emitterIds.size === 0 && filter.list('addresses').length > 0) emitterIds.add(-1n);
  const tipsetKey = filter.list('tipsetKey').map((item) => readCid(item));
  const tipset = tipsetKey.length === 0 ? undefined : knownTipset(view, tipsetKey);
  return { emitterIds, fields: eventFields(filter), ...heightRange(view.head.height, filter), tipset };
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
function heightRange(head: number, filter: RpcRecord): { fromHeight: number; toHeight: number } {
  const from = filter.get('fromHeight') === undefined ? -1 : filter.integer('fromHeight');
  const to = filter.get('toHeight') === undefined ? -1 : filter.integer('toHeight');
  const stem = 'invalid epoch range:';
  if (filter.get('fromHeight') !== undefined && from < 0) {
    throw methodFault("range 'from' must be greater than or equal to 0");
  }
  if (from >= 0 && to === -1 && head - from > MAX_EVENT_RANGE) {
    throw methodFault(`${stem} 'from' height is too far in the past (maximum: ${MAX_EVENT_RANGE})`);
  }
  if (from >= 0 && to >= 0 && from > to) {
    throw methodFault(`${stem} 'to' height (${from}) must be after 'from' height (${to})`);
  }
  if (from >= 0 && to >= 0 && to - from > MAX_EVENT_RANGE) {
    throw methodFault(`${stem} range between to and 'from' heights is too large (maximum: ${MAX_EVENT_RANGE})`);
  }
  if (from === -1 && to > 0 && to - head > MAX_EVENT_RANGE) {
    throw methodFault(`${stem} 'to' height is too far in the future (maximum: ${MAX_EVENT_RANGE})`);
  }
  return { fromHeight: Math.max(0, from), toHeight: to === -1 ? head : to };
}
