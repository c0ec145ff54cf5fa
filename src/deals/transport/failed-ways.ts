import type { Clock } from '../../clock.ts';
import type { WayName } from './choose-ways.ts';

/** A way that delivered nothing is tried after the others for so long. */
const FAILED_REST_MS = 5 * 60_000;
/** Three ways of each of 3,000 providers; the oldest is forgotten, which costs one dial. */
const MAX_FAILED = 9_000;

/** Which ways delivered nothing of late. Kept in memory: a process that starts finds out again with one dial. */
export interface FailedWays {
  of(peerId: string): ReadonlySet<WayName>;
  note(peerId: string, name: WayName): void;
  forget(peerId: string, name: WayName): void;
}

const NAMES: readonly WayName[] = ['tcp', 'ws', 'https'];

export function rememberFailedWays(clock: Clock): FailedWays {
  const until = new Map<string, number>();
  const key = (peerId: string, name: WayName) => `${name} ${peerId}`;
  return {
    of: (peerId) => {
      const now = clock.now().getTime();
      return new Set(NAMES.filter((name) => (until.get(key(peerId, name)) ?? 0) > now));
    },
    note: (peerId, name) => {
      until.delete(key(peerId, name));
      until.set(key(peerId, name), clock.now().getTime() + FAILED_REST_MS);
      const [oldest] = until.keys();
      if (until.size > MAX_FAILED && oldest !== undefined) until.delete(oldest);
    },
    forget: (peerId, name) => void until.delete(key(peerId, name)),
  };
}
