import { FormatError } from '../filecoin/format-error.ts';

interface FaultOptions {
  /** The HTTP status of the service's answer; undefined where there was none. */
  status?: number;
  cause?: unknown;
  details?: Record<string, unknown>;
  retryAfterMs?: number;
}

/** Every fault of the client. The codes of the service's answers are the service's own, and stable like ours. */
export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly code: string;
  readonly status: number | undefined;
  readonly details: Record<string, unknown>;
  /** How long the service asked to wait before the same is tried again. */
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, { status, cause, details = {}, retryAfterMs }: FaultOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = status;
    this.details = details;
    this.retryAfterMs = retryAfterMs;
  }
}

/** What broke a format becomes an error of the client; any other fault stays as it is. */
export async function withClientErrors<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new ClientError(error.code, error.message, { cause: error, details: error.details });
  }
}

export function unknownForm(): ClientError {
  return new ClientError('ANSWER_UNKNOWN', 'the service answers in an unknown form: is this URL one of Lading?');
}
