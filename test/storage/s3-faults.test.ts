import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { isAbsent, mayBeTaken, s3Fault } from '../../src/storage/s3-faults.ts';

/** As the SDK throws it, with what it may carry along. */
function sdkError(name: string, status?: number): Error {
  const error = Object.assign(new Error('words of the server'), {
    name,
    StringToSign: 'AWS4 secret',
    AWSAccessKeyId: 'key',
  });
  return status === undefined ? error : Object.assign(error, { $metadata: { httpStatusCode: status } });
}

test.each([
  ['AccessDenied', 403, 'STORE_DENIED', 'never'],
  ['SignatureDoesNotMatch', 403, 'STORE_DENIED', 'never'],
  ['SomethingNew', 403, 'STORE_DENIED', 'never'],
  ['CredentialsProviderError', undefined, 'STORE_DENIED', 'never'],
  ['NoSuchBucket', 404, 'STORE_NO_BUCKET', 'never'],
  ['QuotaExceeded', 403, 'STORE_FULL', 'later'],
  ['Whatever', 507, 'STORE_FULL', 'later'],
  ['BadDigest', 400, 'STORE_DAMAGED', 'later'],
  ['SlowDown', 503, 'STORE_UNAVAILABLE', 'later'],
  ['TooManyRequests', 429, 'STORE_UNAVAILABLE', 'later'],
  ['TimeoutError', undefined, 'STORE_UNAVAILABLE', 'later'],
  ['InvalidRequest', 400, 'STORE_FAILED', 'never'],
  ['TypeError', undefined, 'STORE_FAILED', 'never'],
])('%s (%s) is %s', (name, status, code, retry) => {
  const fault = s3Fault(sdkError(name, status));
  expect(fault).toMatchObject({ code, retry });
  expect(inspect(fault, { showHidden: true, depth: 9 })).not.toMatch(/AWS4 secret|AWSAccessKeyId/);
  expect(s3Fault(fault)).toBe(fault);
});

test('a missing object is told from a missing bucket or user', () => {
  expect(isAbsent(sdkError('NoSuchKey', 404))).toBe(true);
  expect(isAbsent(sdkError('NotFound', 404))).toBe(true);
  for (const name of ['NoSuchBucket', 'NoSuchUpload', 'XAdminUserNotFound'])
    expect(isAbsent(sdkError(name, 404))).toBe(false);
});

test('a key may be taken after a failed condition, a conflict, or a completion that was sent twice', () => {
  expect(mayBeTaken(sdkError('PreconditionFailed', 412))).toBe(true);
  expect(mayBeTaken(sdkError('ConditionalRequestConflict', 409))).toBe(true);
  expect(mayBeTaken(sdkError('NoSuchUpload', 404))).toBe(true);
  expect(mayBeTaken(sdkError('InternalError', 500))).toBe(false);
  expect(mayBeTaken(s3Fault(sdkError('SlowDown', 503)))).toBe(false);
});
