import { EPOCH_SECONDS } from './networks.ts';

/** When an epoch begins. */
export function epochTime(genesisSeconds: number, epoch: number): Date {
  return new Date((genesisSeconds + epoch * EPOCH_SECONDS) * 1_000);
}

/** The epoch that contains `time`; negative before genesis. */
export function epochAt(genesisSeconds: number, time: Date): number {
  return Math.floor((time.getTime() / 1_000 - genesisSeconds) / EPOCH_SECONDS);
}

/** A clock that runs a few minutes slow must not refuse a good node. */
const CLOCK_TOLERANCE_EPOCHS = 10;

/** The highest epoch that a node can honestly show at this time. */
export function lastEpochBy(genesisSeconds: number, time: Date): number {
  return epochAt(genesisSeconds, time) + CLOCK_TOLERANCE_EPOCHS;
}

/** `YYYY-MM-DD HH:MM:SS` in UTC. */
export function formatEpochTime(date: Date): string {
  return date.toISOString().slice(0, 19).replace('T', ' ');
}
