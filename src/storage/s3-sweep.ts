import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  type MultipartUpload,
  type S3Client,
} from '@aws-sdk/client-s3';
import { answered } from './s3-faults.ts';
import { ASK_TIMEOUT_MS } from './s3-multipart.ts';

interface Place {
  client: S3Client;
  bucket: string;
  /** Empty, or ends in a slash. */
  prefix: string;
}

/** Uploads of one page; the bound of S3. */
const PAGE_UPLOADS = 1_000;
const options = { requestTimeout: ASK_TIMEOUT_MS };

/**
 * Aborts the multipart uploads below the prefix that nobody has added a part to for `graceMs`, by the store's clock;
 * answers how many. Their process is dead, their parts are invisible, and they cost until somebody removes them.
 */
export async function sweepStaleUploads(place: Place, graceMs: number): Promise<number> {
  let aborted = 0;
  for await (const upload of listUploads(place)) {
    const id = { Bucket: place.bucket, Key: upload.Key, UploadId: upload.UploadId };
    if (graceMs > 0 && (await lastActive(place, upload)) > Date.now() - graceMs) continue;
    await answered(place.client.send(new AbortMultipartUploadCommand(id), options));
    aborted += 1;
  }
  return aborted;
}

async function* listUploads({ client, bucket, prefix }: Place): AsyncGenerator<MultipartUpload> {
  let after: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
  while (after !== undefined) {
    const command: ListMultipartUploadsCommand = new ListMultipartUploadsCommand({
      Bucket: bucket,
      Prefix: prefix,
      MaxUploads: PAGE_UPLOADS,
      ...after,
    });
    const page = await answered(client.send(command, options));
    yield* page.Uploads ?? [];
    const { NextKeyMarker, NextUploadIdMarker } = page;
    const more = page.IsTruncated === true && NextKeyMarker !== undefined;
    after = more
      ? {
          KeyMarker: NextKeyMarker,
          ...(NextUploadIdMarker === undefined ? {} : { UploadIdMarker: NextUploadIdMarker }),
        }
      : undefined;
  }
}

/** When the upload began or its newest part arrived, in milliseconds since 1970. */
async function lastActive({ client, bucket }: Place, upload: MultipartUpload): Promise<number> {
  let latest = upload.Initiated?.getTime() ?? 0;
  let after: string | undefined = '0';
  while (after !== undefined) {
    const command: ListPartsCommand = new ListPartsCommand({
      Bucket: bucket,
      Key: upload.Key,
      UploadId: upload.UploadId,
      PartNumberMarker: after,
    });
    const page = await answered(client.send(command, options));
    for (const { LastModified } of page.Parts ?? []) latest = Math.max(latest, LastModified?.getTime() ?? 0);
    after = page.IsTruncated ? page.NextPartNumberMarker : undefined;
  }
  return latest;
}
