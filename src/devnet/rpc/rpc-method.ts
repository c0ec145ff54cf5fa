import type { CID } from 'multiformats/cid';

import type { ChainView } from '../ledger/chain-view.ts';
import type { Tipset } from '../ledger/chain-tipset.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { methodFault } from './rpc-fault.ts';
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
}

export type RpcMethods = Readonly<Record<string, RpcMethod>>;

export function read(params: number, call: RpcMethod['call']): RpcMethod {
  return { params, permission: 'read', call };
}

/** The tipset whose state is asked for. Throws RpcFault for one that is not there, or fell to a reorg. */
export function stateTipset(view: ChainView, key: readonly CID[] | undefined): Tipset {
  const tipset = knownTipset(view, key);
  if (view.store.isOnChain(tipset)) return tipset;
  throw methodFault(`failed to load state tree ${tipset.stateRoot}: ipld: could not find ${tipset.stateRoot}`);
}

export function knownTipset(view: ChainView, key: readonly CID[] | undefined): Tipset {
  if (key === undefined) return view.head;
  const tipset = view.tipset(key);
  if (tipset !== undefined) return tipset;
  const names = key.map((cid) => cid.toString());
  throw methodFault(`loading tipset {${names.join(',')}}: get block ${names[0]}: ipld: could not find ${names[0]}`);
}
