import { EPOCHS_PER_DAY } from '../../filecoin/limits.ts';
import { methodFault } from './rpc-fault.ts';
import type { RpcContext } from './rpc-method.ts';

/** How far back a gateway looks for a message, whatever it is asked (lotus gateway DefaultMaxMessageLookbackEpochs). */
const MESSAGE_LOOKBACK_EPOCHS = 20;

/** Methods that only the node behind a gateway has. */
const refused: ReadonlySet<string> = new Set(['StateGetNetworkParams', 'ChainGetBlock', 'ChainGetMessagesInTipset']);

export function isRefused(name: string, { gateway, refuse }: RpcContext['faults']): boolean {
  return refuse.includes(name) || (gateway && refused.has(name));
}

/** A gateway looks back for a day at most. Throws RpcFault. */
export function checkLookback({ view, faults }: RpcContext, { height, stem }: { height: number; stem: string }): void {
  if (faults.gateway && view.head.height - height > EPOCHS_PER_DAY) {
    throw methodFault(`${stem}: lookbacks of more than 24h0m0s are disallowed`);
  }
}

/** −1 for no limit. */
export function messageLookback(asked: number, { gateway }: RpcContext['faults']): number {
  if (!gateway) return asked;
  return asked === -1 ? MESSAGE_LOOKBACK_EPOCHS : Math.min(asked, MESSAGE_LOOKBACK_EPOCHS);
}
