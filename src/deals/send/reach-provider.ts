import type { Kysely } from 'kysely';
import type { Chain } from '../../chain/chain.ts';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { uuidBytes } from '../../filecoin/mk12-fields.ts';
import { encodeDealStatusRequest } from '../../filecoin/mk12-status.ts';
import type { Log } from '../../log/log.ts';
import { findProvider, noteSeen, type Provider } from '../providers/provider-store.ts';
import { refreshProviders } from '../providers/providers.ts';
import type { ProposeAnswer, ProviderTarget, StatusAnswer, Transport } from '../transport/transport.ts';
import type { Wallet } from '../wallet/wallet.ts';

export interface ReachDeps {
  db: Kysely<DB>;
  chain: Pick<Chain, 'minerInfo'>;
  clock: Clock;
  log: Log;
}

/** A provider with its addresses as fresh as they need to be; undefined: there is no such row. */
export async function readProvider(deps: ReachDeps, id: string, signal: AbortSignal): Promise<Provider | undefined> {
  const provider = await findProvider(deps.db, id);
  return provider && (await refreshProviders(deps, [provider], signal))[0];
}

/** Undefined while no peer id or no address is known. */
export function targetOf(provider: Provider | undefined): ProviderTarget | undefined {
  if (provider?.peerId === undefined || provider.multiaddrs.length === 0) return undefined;
  return { peerId: provider.peerId, multiaddrs: provider.multiaddrs, transport: provider.transport };
}

/** Asks for a deal's status, with a signature of our key over its uuid. */
export async function askStatus(
  { wallet, transport }: { wallet: Wallet; transport: Pick<Transport, 'status'> },
  dealId: string,
  target: ProviderTarget,
  signal: AbortSignal,
): Promise<StatusAnswer> {
  const signature = await wallet.sign(uuidBytes(dealId));
  return transport.status(target, encodeDealStatusRequest({ dealUuid: dealId, signature }), signal);
}

/** Keeps that the provider answered, by which way, and as what software. An answer that was none tells nothing. */
export async function noteHeard(
  db: Kysely<DB>,
  provider: string,
  answer: ProposeAnswer | StatusAnswer,
  at: Date,
): Promise<void> {
  if (answer.kind === 'unknown' || answer.kind === 'not-connected') return;
  await noteSeen(db, provider, { via: answer.via, agent: answer.agent, at });
}
