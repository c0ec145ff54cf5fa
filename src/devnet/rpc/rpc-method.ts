import type { CID } from 'multiformats/cid';

import type { ChainView } from '../ledger/chain-view.ts';
import type { Tipset } from '../ledger/chain-tipset.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { methodFault } from './rpc-fault.ts';
import type { RpcFaults } from './rpc-faults.ts';
import { checkLookback } from './rpc-gateway.ts';
import type { RpcParams } from './rpc-params.ts';

export type Permission = 'read' | 'write' | 'sign' | 'admin';

export interface RpcMethod {
  /** A call with more or fewer is refused. */
  params: number;
  permission: Permission;
  call(context: RpcContext, params: RpcParams): unknown;
}

export interface RpcContext {
  view: ChainView;
  /** For the few methods that change something. */
  ledger: Ledger;
  /** What this node lies about, lacks or refuses. */
  faults: RpcFaults;
}

export type RpcMethods = Readonly<Record<string, RpcMethod>>;

export function read(params: number, call: RpcMethod['call']): RpcMethod {
  return { params, permission: 'read', call };
}

/** A tipset whose state is read: what was written below `height`. */
export interface StateAt {
  tipset: Tipset;
  height: number;
}

/** The tipset whose state is asked for. Throws RpcFault for one that is not there, or fell to a reorg. */
export function stateAt(context: RpcContext, key: readonly CID[] | undefined): StateAt {
  const { view } = context;
  const tipset = knownTipset(view, key);
  if (key !== undefined) checkLookback(context, { height: tipset.height, stem: 'bad tipset' });
  if (view.isOnChain(tipset)) return { tipset, height: view.stateHeight(tipset) };
  throw methodFault(`failed to load state tree ${tipset.stateRoot}: ipld: could not find ${tipset.stateRoot}`);
}

export function knownTipset(view: ChainView, key: readonly CID[] | undefined): Tipset {
  if (key === undefined) return view.head;
  const tipset = view.tipset(key);
  if (tipset !== undefined) return tipset;
  const names = key.map((cid) => cid.toString());
  throw methodFault(`loading tipset {${names.join(',')}}: get block ${names[0]}: ipld: could not find ${names[0]}`);
}
