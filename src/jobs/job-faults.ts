import type { Clock } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { Log } from '../log/log.ts';

/** A dozen loops meet the same fault of the database every second: once in this time is enough to know. */
const SAME_FAULT_MS = 30_000;
/** Different faults at once; more are told as if they were new. */
const MAX_KEPT = 100;

/** pg-boss hands out the faults of its loops as plain objects with a message, not as errors. */
function describeFault(fault: unknown): string {
  if (fault instanceof Error) return describeError(fault);
  if (typeof fault === 'object' && fault !== null && 'message' in fault) return String(fault.message);
  return String(fault);
}

/** Logs faults of the job engine's own loops: the same words at most once in `SAME_FAULT_MS`. */
export function createFaultLog(log: Pick<Log, 'error'>, clock: Clock): (fault: unknown) => void {
  const toldAt = new Map<string, number>();
  return (fault) => {
    const err = describeFault(fault);
    const now = clock.now().getTime();
    if (now - (toldAt.get(err) ?? Number.NEGATIVE_INFINITY) < SAME_FAULT_MS) return;
    if (toldAt.size >= MAX_KEPT) toldAt.clear();
    toldAt.set(err, now);
    log.error({ err }, 'jobs.error');
  };
}
