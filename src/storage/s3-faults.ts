import { LadingError } from '../errors.ts';

/** Refusals that more rights, other credentials or a set clock mend, and waiting does not. */
const DENIED = new Set([
  'AccessDenied',
  'AccountProblem',
  'AllAccessDisabled',
  'CredentialsProviderError',
  'ExpiredToken',
  'Forbidden',
  'InvalidAccessKeyId',
  'InvalidToken',
  'RequestTimeTooSkewed',
  'SignatureDoesNotMatch',
  // How versitygw calls a key it does not know.
  'XAdminUserNotFound',
]);
const FULL = new Set(['InsufficientStorage', 'QuotaExceeded', 'StorageFull', 'XMinioStorageFull']);
const DAMAGED = new Set(['BadDigest', 'InvalidDigest', 'XAmzContentSHA256Mismatch', 'XAmzContentChecksumMismatch']);
/** The HTTP status of servers that have no room, and the only thing that all of those agree on. */
const INSUFFICIENT_STORAGE = 507;

interface Answer {
  name: string;
  /** Undefined: there was no answer. */
  status: number | undefined;
}

function answerOf(error: unknown): Answer {
  const name = error instanceof Error ? error.name : 'Error';
  if (!(error instanceof Error) || !('$metadata' in error)) return { name, status: undefined };
  const metadata = error.$metadata;
  const held = typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata;
  return { name, status: held && typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined };
}

/** The object asked for is not there. By name, as a bucket or a user that is missing is a 404 as well. */
export function isAbsent(error: unknown): boolean {
  return ['NoSuchKey', 'NotFound'].includes(answerOf(error).name);
}

/** The range asked for begins behind the object's end. */
export function isOutOfRange(error: unknown): boolean {
  return answerOf(error).status === 416;
}

/**
 * The key was taken meanwhile: by another, or by ourselves when an answer was lost and the request repeated, which a
 * repeated completion shows as `NoSuchUpload`.
 */
export function mayBeTaken(error: unknown): boolean {
  const { name, status } = answerOf(error);
  return status === 412 || status === 409 || name === 'NoSuchUpload';
}

/**
 * What an SDK error means to us: `STORE_DENIED`, `STORE_NO_BUCKET`, `STORE_FULL`, `STORE_DAMAGED`, `STORE_UNAVAILABLE`,
 * else `STORE_FAILED`. The SDK's object does not go along: its fields may hold what was signed and with which key.
 */
export function s3Fault(error: unknown): LadingError {
  if (error instanceof LadingError) return error;
  const answer = answerOf(error);
  const cause = new Error(describeAnswer(error, answer));
  const { name, status } = answer;
  if (name === 'NoSuchBucket') {
    return new LadingError('STORE_NO_BUCKET', 'the bucket of STORE_URL does not exist: create it or name another', {
      cause,
    });
  }
  if (FULL.has(name) || status === INSUFFICIENT_STORAGE) {
    const message = 'the store has no room left; try again once space was made';
    return new LadingError('STORE_FULL', message, { cause, retry: 'later' });
  }
  if (DENIED.has(name) || status === 401 || status === 403) {
    const message =
      'the object store refused our credentials: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, the rights on the bucket, and this clock';
    return new LadingError('STORE_DENIED', message, { cause });
  }
  if (DAMAGED.has(name)) {
    const message = 'bytes were damaged on the way to the object store; nothing was stored, try again';
    return new LadingError('STORE_DAMAGED', message, { cause, retry: 'later' });
  }
  if (isPassing(answer)) {
    const message = 'the object store cannot be reached; try again later';
    return new LadingError('STORE_UNAVAILABLE', message, { cause, retry: 'later' });
  }
  return new LadingError('STORE_FAILED', 'the object store refused a request', { cause });
}

/** `AccessDenied (HTTP 403)`, or where there was no answer the code or the words of the network's fault. */
function describeAnswer(error: unknown, { name, status }: Answer): string {
  if (status !== undefined) return `${name} (HTTP ${status})`;
  if (!(error instanceof Error)) return name;
  if ('code' in error && typeof error.code === 'string') return `${name} ${error.code}`;
  return error.message === '' ? name : error.message;
}

/** No answer at all, or one that says to come back. */
function isPassing({ name, status }: Answer): boolean {
  // A TypeError is a fault of ours, which no waiting mends.
  if (status === undefined) return name !== 'TypeError';
  return (
    status >= 500 ||
    status === 409 ||
    status === 429 ||
    status === 408 ||
    name === 'RequestTimeout' ||
    name === 'SlowDown'
  );
}

/** Waits for an answer of the store, and turns what the SDK throws into ours. */
export async function answered<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw s3Fault(error);
  }
}
