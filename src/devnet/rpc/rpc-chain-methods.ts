import type { CID } from 'multiformats/cid';

import { entriesJson } from '../ledger/actor-event.ts';
import { blockJson } from '../ledger/chain-block.ts';
import { cidJson, messageJson, type SignedMessage } from '../ledger/chain-message.ts';
import { blocksOf, receiptJson, tipsetJson, type Tipset } from '../ledger/chain-tipset.ts';
import type { ChainView } from '../ledger/chain-view.ts';
import { methodFault } from './rpc-fault.ts';
import { checkLookback } from './rpc-gateway.ts';
import { knownTipset, read, type RpcContext, type RpcMethods } from './rpc-method.ts';

/** The version that the recorded answers are from. */
const VERSION = { Version: '1.36.1+lading-devnet', APIVersion: 131_840, BlockDelay: 30, Agent: 'lotus' };
const NETWORK_VERSION = 28;
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
  ChainGetTipSetByHeight: read(2, (context, params) => {
    const { view } = context;
    const from = knownTipset(view, params.tipsetKey(1));
    return tipsetJson(view.policy, tipsetAt(context, params.integer(0), from));
  }),
  ChainGetTipSetAfterHeight: read(2, (context, params) => {
    const { view } = context;
    const from = knownTipset(view, params.tipsetKey(1));
    const height = params.integer(0);
    const found = tipsetAt(context, height, from);
    return tipsetJson(view.policy, found.height < height ? (view.childOf(found) ?? found) : found);
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
    const parent = view.parentOf(blockTipset(view, params.cid(0)));
    return listOrNull((parent?.messages ?? []).map((signed) => apiMessageJson(signed)));
  }),
  ChainGetParentReceipts: read(1, ({ view }, params) => {
    const parent = view.parentOf(blockTipset(view, params.cid(0)));
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
};

/** Go marshals a slice that nothing was appended to as null. */
function listOrNull<T>(list: T[]): T[] | null {
  return list.length === 0 ? null : list;
}

function tipsetAt(context: RpcContext, height: number, from: Tipset): Tipset {
  if (height > from.height) {
    const message = `looking for tipset with height greater than start point, req: ${height}, head: ${from.height}`;
    throw methodFault(message);
  }
  if (height < 0) throw methodFault(`height ${height} is below genesis`);
  checkLookback(context, { height, stem: 'bad tipset height' });
  return context.view.atOrBelow(height);
}

function blockTipset(view: ChainView, cid: CID): Tipset {
  const tipset = view.byBlock(cid);
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
