import { peerIdFromString } from '@libp2p/peer-id';
import { multiaddr } from '@multiformats/multiaddr';
import type { Kysely } from 'kysely';
import type { Chain } from '../../chain/chain.ts';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { BadInput, describeError } from '../../errors.ts';
import { formatAddress, parseAddress } from '../../filecoin/address.ts';
import { writeAudit, type Act } from '../audit.ts';
import { storableText } from '../../storable-text.ts';
import { parseLabels } from './change-provider.ts';
import { findProvider, insertProvider, setResolved, setResolveError, type Provider } from './provider-store.ts';

export interface ProviderDeps {
  db: Kysely<DB>;
  /** Undefined while no chain is configured: providers are kept, and resolved later. */
  chain: Pick<Chain, 'minerInfo'> | undefined;
  clock: Clock;
}

/** A provider may move at any time; an hour-old address costs one failed dial, after which it is read again anyway. */
const RESOLVE_MAX_AGE_MS = 3_600_000;
/** StateMinerInfo is one call a provider; more at once would be a burst that public RPC nodes refuse. */
const RESOLVE_AT_ONCE = 4;

/** `f01234` or `t01234` → `f01234`; any other address is a BadInput `PROVIDER_INVALID`. */
export function parseProviderId(text: string): string {
  try {
    const address = parseAddress(text);
    if (address.protocol === 0) return formatAddress(address);
  } catch (cause) {
    throw new BadInput('PROVIDER_INVALID', `'${text}' is not a provider id such as f01234: ${describeError(cause)}`, {
      cause,
    });
  }
  throw new BadInput('PROVIDER_INVALID', `'${text}' is not a provider id: give the miner's id address, such as f01234`);
}

interface ManualAddress {
  peerId: string;
  multiaddrs: string[];
}

/** Checks a peer id and addresses given by an operator; both are needed, as only together they can be dialed. */
export function parseManualAddress(peerId: string | undefined, multiaddrs: string[]): ManualAddress | undefined {
  if (peerId === undefined && multiaddrs.length === 0) return undefined;
  if (peerId === undefined || multiaddrs.length === 0) {
    throw new BadInput(
      'PROVIDER_INVALID',
      'give a peer id and at least one multiaddr, or neither: then the chain is asked',
    );
  }
  const odd = multiaddrs.find((text) => /\p{Cc}/u.test(text));
  if (odd !== undefined)
    throw new BadInput('PROVIDER_INVALID', `a multiaddr has control characters in it: ${storableText(odd)}`);
  try {
    return {
      peerId: peerIdFromString(peerId).toString(),
      multiaddrs: multiaddrs.map((text) => multiaddr(text).toString()),
    };
  } catch (cause) {
    throw new BadInput('PROVIDER_INVALID', `not a peer id with multiaddrs: ${describeError(cause)}`, { cause });
  }
}

export interface AddProvider {
  id: string;
  peerId?: string | undefined;
  multiaddrs?: string[] | undefined;
  org?: string | undefined;
  region?: string | undefined;
  /** Who adds it; the service itself when nobody does, as in a demo. */
  act?: Act | undefined;
}

/** Registers a provider, or enables it again, and resolves it at once when there is a chain; an error is kept in its row. */
export async function addProvider(deps: ProviderDeps, given: AddProvider): Promise<Provider> {
  const id = parseProviderId(given.id);
  const manual = parseManualAddress(given.peerId, given.multiaddrs ?? []);
  const labels = parseLabels(given);
  const at = deps.clock.now();
  const { by, reason } = given.act ?? { by: 'service' };
  const provider = await deps.db.transaction().execute(async (trx) => {
    await writeAudit(trx, {
      actor: by,
      action: 'provider.add',
      subject: id,
      reason,
      detail: { ...manual, ...labels },
      at,
    });
    return await insertProvider(trx, { id, manual, labels, at });
  });
  // An operator waits for it; each endpoint has its own time limit.
  return resolveProvider(deps, provider, new AbortController().signal);
}

/** Reads what the chain says of a provider (StateMinerInfo) into its row; a failure is kept there, and nothing thrown. */
async function resolveProvider(
  { db, chain, clock }: ProviderDeps,
  provider: Provider,
  signal: AbortSignal,
): Promise<Provider> {
  if (chain === undefined) return provider;
  try {
    const info = await chain.minerInfo(provider.id, { signal });
    const seen = {
      peerId: info.peerId,
      multiaddrs: info.multiaddrs,
      sectorBytes: info.sectorBytes,
      ownerId: info.owner,
    };
    await setResolved(db, provider.id, seen, clock.now());
  } catch (error) {
    // Our own stop is no fault of the provider.
    signal.throwIfAborted();
    await setResolveError(db, provider.id, describeError(error));
  }
  return (await findProvider(db, provider.id)) ?? provider;
}

/** Were its addresses read too long ago, or never? */
export function isStale(provider: Provider, now: Date): boolean {
  return provider.resolvedAt === undefined || now.getTime() - provider.resolvedAt.getTime() > RESOLVE_MAX_AGE_MS;
}

/** The providers with fresh addresses: those never resolved, resolved long ago, or marked stale are read again. */
export async function refreshProviders(
  deps: ProviderDeps,
  providers: Provider[],
  signal: AbortSignal,
): Promise<Provider[]> {
  const now = deps.clock.now();
  const fresh: Provider[] = [];
  for (let at = 0; at < providers.length; at += RESOLVE_AT_ONCE) {
    const group = providers.slice(at, at + RESOLVE_AT_ONCE);
    const refreshed = group.map(async (provider) =>
      isStale(provider, now) ? resolveProvider(deps, provider, signal) : provider,
    );
    fresh.push(...(await Promise.all(refreshed)));
  }
  return fresh;
}
