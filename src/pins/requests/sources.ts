import { describeError } from '../../errors.ts';
import type { Log } from '../../log/log.ts';
import type { Fetcher } from '../../outgoing/fetcher.ts';
import { findAddresses, isAllowed, type AddressRules } from '../../public-address.ts';
import { gatewaySource, kuboSource, type BlockSource } from './block-source.ts';
import { createKubo, type Kubo } from './kubo.ts';
import { parseOrigin, type Origin } from './origins.ts';

export interface SourcesDeps {
  /** To addresses that callers choose, and to those of the configuration. */
  strangers: Fetcher;
  ours: Fetcher;
  gatewayUrls: readonly string[];
  kuboUrl: string | undefined;
  /** Which addresses callers may name. */
  rules: AddressRules;
  log: Log;
}

export interface Sources {
  of(origins: readonly string[], signal: AbortSignal): Promise<readonly BlockSource[]>;
  /** What clients connect to, so that our node finds them. */
  delegates(): Promise<readonly string[]>;
}

/** Each may take a minute to say that it has nothing. */
const MAX_GATEWAYS = 20;
const MAX_PEERS = 20;
/** As the Pinning Service API allows. */
const MAX_DELEGATES = 20;

/**
 * Whom to ask for blocks: first the gateways that a caller names, and our node where it could connect to a peer that a
 * caller names; then the gateways of the configuration, and our node for whatever its network has.
 */
export function createSources(deps: SourcesDeps): Sources {
  const { strangers, ours, gatewayUrls, kuboUrl, rules, log } = deps;
  const kubo = kuboUrl === undefined ? undefined : createKubo({ fetcher: ours, url: kuboUrl, log });
  const node = kuboUrl === undefined ? [] : [kuboSource(ours, kuboUrl)];
  // What those lead on to is no choice of the operator's.
  const gateways = gatewayUrls.map((url) => gatewaySource(ours, url, { redirects: 0 }));
  return {
    async of(texts, signal) {
      const origins = texts.map(parseOrigin);
      const named = origins.filter((origin) => origin.kind === 'gateway').slice(0, MAX_GATEWAYS);
      const own = named.map(({ url }) => gatewaySource(strangers, url));
      const isNear = kubo !== undefined && (await connectAny(kubo, origins, { rules, signal, log }));
      return isNear ? [...own, ...node, ...gateways] : [...own, ...gateways, ...node];
    },
    async delegates() {
      const addresses = (await kubo?.addresses()) ?? [];
      return addresses.filter((address) => isDialable(address, rules)).slice(0, MAX_DELEGATES);
    },
  };
}

interface Dialing {
  rules: AddressRules;
  signal: AbortSignal;
  log: Log;
}

async function connectAny(kubo: Kubo, origins: readonly Origin[], dialing: Dialing): Promise<boolean> {
  const peers = origins.filter((origin) => origin.kind === 'peer').slice(0, MAX_PEERS);
  const connected = await Promise.all(
    peers.map(async (peer) => {
      const address = await addressToDial(peer, dialing);
      return address !== undefined && (await kubo.connect(address, dialing.signal));
    }),
  );
  return connected.includes(true);
}

/**
 * The address with what its name resolves to in place of the name: the node would look it up again, and find another.
 * What cannot be checked, through relays or by records, is left to the node's own search.
 */
async function addressToDial(
  { address, host }: Extract<Origin, { kind: 'peer' }>,
  { rules, log }: Dialing,
): Promise<string | undefined> {
  if (rules.allowPrivate) return address;
  if (host === undefined) return undefined;
  try {
    const [first] = await findAddresses(host.host, rules);
    return first && `/ip${first.family}/${first.address}${host.rest}`;
  } catch (error) {
    log.info({ address, err: describeError(error) }, 'ipfs.peer_refused');
    return undefined;
  }
}

/** A client elsewhere could connect to it: a loopback address is of use only where such origins are allowed too. */
function isDialable(address: string, rules: AddressRules): boolean {
  const host = /^\/ip[46]\/([^/]+)/.exec(address)?.[1];
  return host === undefined || isAllowed(host, rules);
}
