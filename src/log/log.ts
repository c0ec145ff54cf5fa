import { pino, type Logger } from 'pino';
import { createRedactor } from './redact.ts';
import { storyIds } from './story.ts';

/**
 * JSON lines on standard error: `log.info({ dealId }, 'deal.accepted')`. Fields first, then a stable event name, which
 * docs/logs.md lists. Each line has the ids of the request or job in which it was written.
 */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

interface LogOptions {
  /** Values that no line may hold, wherever they would stand (redact.ts). */
  secrets?: Iterable<string>;
  /** Left out: standard error. */
  write?: (line: string) => void;
}

export function createLog(level: LogLevel, { secrets = [], write }: LogOptions = {}): Log {
  const known = new Set(secrets);
  const redact = createRedactor(known);
  return pino(
    {
      level,
      base: null,
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      // Its result is written to.
      mixin: () => ({ ...storyIds() }),
      hooks: { streamWrite: redact },
    },
    write === undefined ? pino.destination({ dest: 2, sync: true }) : { write },
  );
}

export const silentLog: Log = createLog('silent');
