import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import type { S3Place } from './s3-url.ts';

/** The first try and four more, with the SDK's pauses between them: about ten seconds in all. */
const ATTEMPTS = 5;
const CONNECT_TIMEOUT_MS = 5_000;
/** Every provider that downloads holds one for hours; the SDK's 50 would let 50 slow ones stop all uploads. */
const MAX_SOCKETS = 512;

/**
 * Credentials come from the usual AWS_* variables (and what else the SDK knows: shared files, instance roles) unless given.
 */
export function createS3Client(
  place: Pick<S3Place, 'region' | 'endpoint'>,
  credentials?: NonNullable<S3ClientConfig['credentials']>,
): S3Client {
  const sockets = { keepAlive: true, maxSockets: MAX_SOCKETS };
  return new S3Client({
    ...(place.region === undefined ? {} : { region: place.region }),
    // A server at an address has no names for its buckets in DNS.
    ...(place.endpoint === undefined ? {} : { endpoint: place.endpoint, forcePathStyle: true }),
    ...(credentials === undefined ? {} : { credentials }),
    maxAttempts: ATTEMPTS,
    retryMode: 'standard',
    // We give CRC-32s of our own for all that is written; a range has none that could be verified.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      // Whoever reads slowly leaves the socket idle; src/storage/s3-read.ts times only what it waits for.
      socketTimeout: 0,
      throwOnRequestTimeout: true,
      httpAgent: sockets,
      httpsAgent: sockets,
    },
  });
}
