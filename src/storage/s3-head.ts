import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { isAbsent, s3Fault } from './s3-faults.ts';
import { ASK_TIMEOUT_MS, type S3Target } from './s3-multipart.ts';

interface HeldObject {
  bytes: number;
  /** CRC-32 of all of it, as S3 writes it, where the store knows one. */
  crc: string | undefined;
}

/** What the store holds under a name; undefined: nothing. */
export async function headS3Object(
  target: Pick<S3Target, 'client' | 'bucket' | 'name'>,
): Promise<HeldObject | undefined> {
  const command = new HeadObjectCommand({ Bucket: target.bucket, Key: target.name, ChecksumMode: 'ENABLED' });
  try {
    const found = await target.client.send(command, { requestTimeout: ASK_TIMEOUT_MS });
    const whole = found.ChecksumType !== 'COMPOSITE';
    return { bytes: found.ContentLength ?? 0, crc: whole ? found.ChecksumCRC32 : undefined };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw s3Fault(error);
  }
}
