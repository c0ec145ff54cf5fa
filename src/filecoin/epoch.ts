export type NetworkName = 'mainnet' | 'calibration' | 'devnet';

export interface Network {
  name: NetworkName;
  /** Unix time of epoch 0; undefined where it must be read from the chain. */
  genesisSeconds: number | undefined;
  /** First letter of addresses in text. */
  addressLetter: 'f' | 't';
}

/** Genesis times are those of lotus build/buildconstants (mainnet) and of its upgrade heights (calibration). */
export const networks: Record<NetworkName, Network> = {
  mainnet: { name: 'mainnet', genesisSeconds: 1_598_306_400, addressLetter: 'f' },
  calibration: { name: 'calibration', genesisSeconds: 1_667_326_380, addressLetter: 't' },
  devnet: { name: 'devnet', genesisSeconds: undefined, addressLetter: 'f' },
};

export function isNetworkName(text: string): text is NetworkName {
  return Object.hasOwn(networks, text);
}

/** Length of an epoch. */
export const EPOCH_SECONDS = 30;

/** When an epoch begins. */
export function epochTime(genesisSeconds: number, epoch: number): Date {
  return new Date((genesisSeconds + epoch * EPOCH_SECONDS) * 1_000);
}

/** The epoch that contains `time`; negative before genesis. */
export function epochAt(genesisSeconds: number, time: Date): number {
  return Math.floor((time.getTime() / 1_000 - genesisSeconds) / EPOCH_SECONDS);
}

/** `YYYY-MM-DD HH:MM:SS` in UTC. */
export function formatEpochTime(date: Date): string {
  return date.toISOString().slice(0, 19).replace('T', ' ');
}
