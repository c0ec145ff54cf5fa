import type { Clock } from '../clock.ts';
import { LadingError } from '../errors.ts';
import type { Rpc } from './rpc-call.ts';

/** Throws `NETWORK_DIFFERS` when this endpoint serves another chain than ours. */
export type Admit = (endpoint: Rpc, signal: AbortSignal) => Promise<void>;

/** Whether one endpoint is to be believed. */
export interface Admission {
  /** Resolves when it is; asks it first where that is not known, or was long ago. */
  pass(endpoint: Rpc, signal: AbortSignal): Promise<void>;
  /** After a fault it may come back as another chain, so that it is asked again. */
  doubt(): void;
}

/** What stands behind one address changes without a fault only by an operator's hand. */
const TRUST_MS = 10 * 60_000;
/** An endpoint of another chain costs one call in this time, not one more with every call. */
const REFUSAL_MS = 60_000;

export function isForeignChain(error: unknown): error is LadingError {
  return error instanceof LadingError && error.code === 'NETWORK_DIFFERS';
}

export function createAdmission(admit: Admit | undefined, clock: Clock): Admission {
  let trustedUntil = 0;
  let refused: { until: number; error: LadingError } | undefined;
  return {
    async pass(endpoint, signal) {
      if (admit === undefined) return;
      const now = clock.now().getTime();
      if (now < trustedUntil) return;
      if (refused !== undefined && now < refused.until) throw refused.error;
      try {
        await admit(endpoint, signal);
        trustedUntil = now + TRUST_MS;
        refused = undefined;
      } catch (error) {
        if (isForeignChain(error)) refused = { until: now + REFUSAL_MS, error };
        throw error;
      }
    },
    doubt() {
      trustedUntil = 0;
    },
  };
}
