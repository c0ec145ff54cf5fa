import { describeError, LadingError, type Retry } from '../errors.ts';

type OriginCode =
  | 'ORIGIN_UNREACHABLE'
  | 'ORIGIN_SLOW'
  | 'ORIGIN_REDIRECTS'
  | 'ORIGIN_REFUSED'
  | 'ORIGIN_FAILED'
  | 'ORIGIN_ENCODED'
  | 'ORIGIN_TOO_LONG'
  | 'ORIGIN_CHANGED'
  | 'ORIGIN_BROKEN';

const NEVER: readonly OriginCode[] = ['ORIGIN_REDIRECTS', 'ORIGIN_REFUSED', 'ORIGIN_ENCODED', 'ORIGIN_TOO_LONG'];

/** What a host that others named did wrong; whether it may do better later follows from the code. */
export function originFault(code: OriginCode, message: string, cause?: unknown): LadingError {
  const retry: Retry = NEVER.includes(code) ? 'never' : 'later';
  return new LadingError(code, message, { retry, ...(cause !== undefined && { cause }) });
}

/** A fault of the network in our words; one that has them already stays as it is. */
export function asOriginFault(code: OriginCode, host: string, error: unknown): LadingError {
  return error instanceof LadingError ? error : originFault(code, `${host}: ${describeError(error)}`, error);
}
