import type { Standing } from './compare-nodes.ts';
import { isNotOffered, type RpcError, type RpcErrorCode } from './rpc-error.ts';

/** How one endpoint fares, for operators: it names a host, so it is for the log and never for a public answer. */
export interface EndpointHealth {
  /** Host and port. */
  host: string;
  /** `resting`: it failed, and is asked again only when no other answers or its rest is over. */
  state: 'unknown' | 'well' | 'resting';
  /** Since when it is in this state and standing; undefined while it was never asked. */
  since: Date | undefined;
  /** Of its last fault, also after it is well again. */
  lastFault: RpcErrorCode | undefined;
  /** A moving average over calls that were answered. */
  latencyMs: number | undefined;
  /** Of its head, when it was last compared with the others. */
  height: number | undefined;
  /** Epochs behind the best of them. */
  lagEpochs: number | undefined;
  standing: Standing;
}

interface Compared {
  standing: Standing;
  height: number;
  lagEpochs: number;
}

/** What is measured of one endpoint by every call to it. */
export interface HealthKeeper {
  answered(at: Date, tookMs: number): void;
  failed(at: Date, fault: RpcError): void;
  compared(at: Date, compared: Compared): void;
  /** Others have shown that its answers were false. */
  distrusted(at: Date): void;
  isDistrusted(at: Date): boolean;
  /** May it be asked before those that are well have failed? After its rest the next call tries it. */
  isResting(at: Date): boolean;
  /** Did it say of late that it has no such method? */
  lacks(method: string, at: Date): boolean;
  snapshot(): EndpointHealth;
}

/** One lost call is no outage: the first rest is short, and each further one twice as long. */
const FIRST_REST_MS = 1_000;
/** An endpoint that is back is found after this time at the latest. */
const MAX_REST_MS = 60_000;
/** A node gets a new method by an upgrade or a new setting, and is restarted for it. */
const LACKING_MS = 10 * 60_000;
/** A node that was outvoted wants an operator; until then it is asked only where no other is left. */
const DISTRUST_MS = 60 * 60_000;
/** The share of the newest call in the average: about the last ten calls count. */
const NEWEST_SHARE = 0.2;

/** Twice as long after each fault in a row, and anything from half of that on, so that processes do not come at once. */
function restMs(faults: number, fault: RpcError, draw: number): number {
  const longest = Math.min(MAX_REST_MS, FIRST_REST_MS * 2 ** Math.min(faults - 1, 16));
  return Math.max(longest * (0.5 + draw / 2), Math.min(fault.retryAfterMs ?? 0, MAX_REST_MS));
}

export interface HealthOptions {
  /** From 0 up to 1, as Math.random. */
  random: () => number;
  /** Told of each change of state. */
  onChange?: ((health: EndpointHealth) => void) | undefined;
}

export function createHealth(host: string, { random, onChange }: HealthOptions): HealthKeeper {
  const lacking = new Map<string, number>();
  let health: EndpointHealth = {
    host,
    state: 'unknown',
    since: undefined,
    lastFault: undefined,
    latencyMs: undefined,
    height: undefined,
    lagEpochs: undefined,
    standing: 'unknown',
  };
  let faults = 0;
  let restUntil = 0;
  let distrustedUntil = 0;
  function enter(state: EndpointHealth['state'], at: Date): void {
    if (health.state === state) return;
    health = { ...health, state, since: at };
    onChange?.({ ...health });
  }
  return {
    answered(at, tookMs) {
      faults = 0;
      restUntil = 0;
      enter('well', at);
      const { latencyMs = tookMs } = health;
      health = { ...health, latencyMs: latencyMs + (tookMs - latencyMs) * NEWEST_SHARE };
    },
    failed(at, fault) {
      const lacks: boolean = isNotOffered(fault);
      if (lacks) {
        lacking.set(fault.method, at.getTime() + LACKING_MS);
        return;
      }
      faults += 1;
      restUntil = at.getTime() + restMs(faults, fault, random());
      health = { ...health, lastFault: fault.code };
      enter('resting', at);
    },
    compared(at, compared) {
      const moved = health.standing !== compared.standing;
      health = { ...health, ...compared };
      if (!moved) return;
      health = { ...health, since: at };
      onChange?.({ ...health });
    },
    distrusted(at) {
      distrustedUntil = at.getTime() + DISTRUST_MS;
    },
    isDistrusted: (at) => at.getTime() < distrustedUntil,
    isResting: (at) => at.getTime() < restUntil,
    lacks: (method, at) => at.getTime() < (lacking.get(method) ?? 0),
    snapshot: () => ({ ...health }),
  };
}
