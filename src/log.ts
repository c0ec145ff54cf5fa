import { pino, type Logger } from 'pino';

/** JSON lines on standard error: `log.info({ dealId }, 'deal.sent')`. Fields first, then a stable event name. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

/** Field names whose values never reach a log, wherever they stand. */
const SECRET_FIELDS = ['authorization', 'token', 'password', 'secret', 'privateKey', 'headers.authorization'];

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export function createLog(level: LogLevel): Log {
  const paths = SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]);
  return pino(
    {
      level,
      base: null,
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths, censor: '[secret]' },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}

export const silentLog: Log = createLog('silent');
