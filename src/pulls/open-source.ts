import { LadingError } from '../errors.ts';
import { startDownload } from '../outgoing/download.ts';
import type { Download, DownloadRequest, Fetcher, OutgoingLimits } from '../outgoing/fetcher.ts';
import type { S3Place } from '../storage/s3-url.ts';
import { parseS3Address, placeOf, publicUrlOf, type S3Address } from './s3-address.ts';

export interface Sources {
  fetcher: Pick<Fetcher, 'check' | 'download'>;
  /** Where our own credentials may read. */
  s3Places: readonly S3Place[];
}

interface Wanted {
  from: DownloadRequest['from'];
  limits: OutgoingLimits;
  signal: AbortSignal;
}

/** The URL as it is kept. Throws `URL_REFUSED`, `ADDRESS_NOT_PUBLIC`, `UNRESOLVED`: as things are now it leads nowhere. */
export async function checkSource({ fetcher, s3Places }: Sources, text: string): Promise<string> {
  if (!isS3(text)) return (await fetcher.check(text)).href;
  const address = parseS3Address(text);
  if (placeOf(address, s3Places) === undefined) await fetcher.check(publicUrlOf(address));
  return new URL(text).href;
}

const isS3 = (text: string) => /^s3:/i.test(text);

/** Begins to read what the URL names. */
export async function openSource({ fetcher, s3Places }: Sources, url: string, wanted: Wanted): Promise<Download> {
  if (!isS3(url)) return await fetcher.download({ url, ...wanted });
  const address = parseS3Address(url);
  const place = placeOf(address, s3Places);
  if (place === undefined) return await openPublic(fetcher, address, wanted);
  return await openOwn(place, address, wanted);
}

async function openPublic(fetcher: Sources['fetcher'], address: S3Address, wanted: Wanted): Promise<Download> {
  try {
    return await fetcher.download({ url: publicUrlOf(address), ...wanted });
  } catch (cause) {
    if (!(cause instanceof LadingError) || cause.code !== 'ORIGIN_REFUSED') throw cause;
    const hint = 'it was asked without credentials, as for a public object: give a presigned https:// URL instead';
    throw new LadingError(cause.code, `${cause.message}; ${hint}`, { cause, retry: cause.retry });
  }
}

/** The SDK takes 0.3 s to load, so only who needs it loads it. */
async function openOwn(place: S3Place, { bucket, key }: S3Address, wanted: Wanted): Promise<Download> {
  const [{ createS3Client }, { askS3 }] = await Promise.all([
    import('../storage/s3-client.ts'),
    import('../outgoing/ask-s3.ts'),
  ]);
  const client = createS3Client(place);
  const ask = askS3({ client, bucket, key }, wanted.limits);
  try {
    const download = await startDownload(ask, { url: `s3://${bucket}`, ...wanted }, wanted.limits.bodyBytes);
    const close = () => {
      download[Symbol.dispose]();
      client.destroy();
    };
    return { ...download, [Symbol.dispose]: close };
  } catch (error) {
    client.destroy();
    throw error;
  }
}
