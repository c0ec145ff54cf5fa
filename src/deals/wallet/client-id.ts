import type { Chain } from '../../chain/chain.ts';

/**
 * The chain, with what it said once of an address's id kept: an id never changes after the tipset that gave it is
 * final. Before that a reorg could give it to another, so it is asked for again.
 */
export function keepClientIds<C extends Pick<Chain, 'lookupId' | 'finalized'>>(chain: C): C {
  const ids = new Map<string, string>();
  const lookupId: Chain['lookupId'] = async (address, options) => {
    const kept = ids.get(address);
    if (kept !== undefined) return kept;
    const id = await chain.lookupId(address, options);
    if (id === undefined) return undefined;
    const { key } = await chain.finalized(options.signal);
    const finalId = await chain.lookupId(address, { tipset: key, signal: options.signal });
    if (finalId === id) ids.set(address, id);
    return id;
  };
  return { ...chain, lookupId };
}
