import { IncomingMessage } from 'node:http';
import { GetObjectCommand, type GetObjectCommandOutput, type S3Client } from '@aws-sdk/client-s3';
import { describeError } from '../errors.ts';
import { Deadline } from './deadline.ts';
import type { OutgoingAnswer, OutgoingLimits, OutgoingRequest } from './fetcher.ts';
import { originFault } from './origin-fault.ts';
import { readBody } from './read-body.ts';

interface S3Object {
  client: S3Client;
  bucket: string;
  key: string;
}

/**
 * One object of a bucket, asked for with our credentials, as an HTTP server would answer for it: what a download needs.
 * Where it lies is for the configuration to say, never for the caller.
 */
export function askS3(object: S3Object, limits: OutgoingLimits) {
  return async ({ headers = {}, signal }: Pick<OutgoingRequest, 'headers' | 'signal'>): Promise<OutgoingAnswer> => {
    const deadline = new Deadline(signal);
    const answered = deadline.limit(limits.headMs, () =>
      originFault('ORIGIN_SLOW', `s3://${object.bucket}: no answer within ${limits.headMs} ms`),
    );
    try {
      const answer = await askWhole(object, { range: headers['range'], match: headers['if-range'] }, deadline.signal);
      answered();
      return toAnswer(object, answer, { limits, deadline });
    } catch (error) {
      deadline[Symbol.dispose]();
      throw deadline.signal.aborted ? deadline.signal.reason : error;
    }
  };
}

type Asked = GetObjectCommandOutput | { status: number };

/** S3 knows no If-Range: what changed is asked for again, whole. */
async function askWhole(
  { client, bucket, key }: S3Object,
  { range, match }: { range?: string | undefined; match?: string | undefined },
  signal: AbortSignal,
): Promise<Asked> {
  const ask = (conditions: object) =>
    client.send(new GetObjectCommand({ Bucket: bucket, Key: key, ...conditions }), { abortSignal: signal });
  try {
    return await ask(range === undefined ? {} : { Range: range, IfMatch: match });
  } catch (error) {
    signal.throwIfAborted();
    const status = statusOf(error);
    if (status === undefined) throw originFault('ORIGIN_UNREACHABLE', `s3://${bucket}: ${describeError(error)}`);
    return range !== undefined && (status === 412 || status === 416)
      ? await askWhole({ client, bucket, key }, {}, signal)
      : { status };
  }
}

/** Undefined: there was no answer. The SDK's own words may hold what was signed. */
function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined;
  const { $metadata: metadata } = error;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined;
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined;
}

function toAnswer(
  { bucket, key }: S3Object,
  answer: Asked,
  { limits, deadline }: { limits: OutgoingLimits; deadline: Deadline },
): OutgoingAnswer {
  // No such URL is ever connected to: it names the bucket in faults.
  const url = new URL(`https://${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`);
  if ('status' in answer) {
    deadline[Symbol.dispose]();
    return { url, status: answer.status, headers: {}, body: nothing(), [Symbol.dispose]: () => undefined };
  }
  const { Body, ETag, ContentLength, ContentRange } = answer;
  if (!(Body instanceof IncomingMessage)) throw originFault('ORIGIN_BROKEN', `s3://${bucket} sent no body`);
  const close = () => {
    deadline[Symbol.dispose]();
    Body.destroy();
  };
  const headers = {
    ...(ETag !== undefined && { etag: ETag }),
    ...(ContentLength !== undefined && { 'content-length': String(ContentLength) }),
    ...(ContentRange !== undefined && { 'content-range': ContentRange }),
  };
  const body = readBody(Body, { limits, deadline, host: `s3://${bucket}` });
  return { url, status: ContentRange === undefined ? 200 : 206, headers, body, [Symbol.dispose]: close };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
