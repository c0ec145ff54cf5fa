export type NetworkName = 'mainnet' | 'calibration' | 'devnet';

/**
 * In what the networks differ. What is the same on all of them, and what a FIP may change, stands in limits.ts: how long
 * deals last, the sizes of pieces, finality.
 */
export interface Network {
  name: NetworkName;
  /** Unix time of epoch 0; undefined where it must be read from the chain. */
  genesisSeconds: number | undefined;
  /** Undefined where epochs do not follow the clock. */
  epochSeconds: number | undefined;
  /** First letter of addresses in text. */
  addressLetter: 'f' | 't';
}

/** Length of an epoch: on the great networks by the clock, on a devnet in the timestamps of its blocks. */
export const EPOCH_SECONDS = 30;

/** Genesis times are those of lotus build/buildconstants (mainnet) and of its upgrade heights (calibration). */
export const networks: Record<NetworkName, Network> = {
  mainnet: { name: 'mainnet', genesisSeconds: 1_598_306_400, epochSeconds: EPOCH_SECONDS, addressLetter: 'f' },
  calibration: { name: 'calibration', genesisSeconds: 1_667_326_380, epochSeconds: EPOCH_SECONDS, addressLetter: 't' },
  devnet: { name: 'devnet', genesisSeconds: undefined, epochSeconds: undefined, addressLetter: 'f' },
};

export function isNetworkName(text: string): text is NetworkName {
  return Object.hasOwn(networks, text);
}
