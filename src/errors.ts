/** May the caller try the same thing again, unchanged? */
export type Retry = 'later' | 'never';

interface FaultOptions {
  cause?: unknown;
  retry?: Retry;
  /** What was wrong where: a block's CID, a byte offset, a limit. Shown to callers, so never a secret. */
  details?: Record<string, string | number>;
}

/** A fault with a stable code that callers may match on; api/answers/errors.ts alone turns codes into HTTP statuses. */
export class LadingError extends Error {
  override readonly name: string = 'LadingError';
  readonly code: string;
  readonly retry: Retry;
  readonly details: Record<string, string | number>;

  constructor(code: string, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retry = options.retry ?? 'never';
    this.details = options.details ?? {};
  }
}

/** The caller sent something that can never be accepted; the message says what is wrong and what to do. */
export class BadInput extends LadingError {
  override readonly name = 'BadInput';
}

/** The message of anything thrown, with the messages of its causes. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // A host with several addresses fails with one error each, and no words of its own.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(describeError).join('; ');
  if (error.cause === undefined) return error.message;
  const cause = describeError(error.cause);
  return error.message.includes(cause) ? error.message : `${error.message}: ${cause}`;
}

/** For the default branch of a switch over a closed union. */
export function unreachable(value: never): never {
  throw new Error(`unexpected value ${JSON.stringify(value)}`);
}
