import type { Config } from '../config.ts';
import { LadingError } from '../errors.ts';
import { createFetcher, type Fetcher, type OutgoingRequest } from '../outgoing/fetcher.ts';
import type { S3Place } from '../storage/s3-url.ts';
import { examine, sound, type Finding } from './finding.ts';

const LIMITS = { headMs: 10_000, stallMs: 10_000, allMs: 10_000, bodyBytes: 64 * 1024, redirects: 0 };
/** The empty block, whose CID holds it: what specs.ipfs.tech names to probe a trustless gateway with. */
const EMPTY_BLOCK = 'bafkqaaa';

/** Where bytes are fetched from for those who send a CID or an URL: gateways, the Kubo node, our own places in S3. */
export async function checkSources(
  { ipfsSources, pulls }: Pick<Config, 'ipfsSources' | 'pulls'>,
  signal: AbortSignal,
): Promise<Finding[]> {
  const { gatewayUrls, kuboUrl } = ipfsSources;
  const fetcher = createFetcher({ allowPrivate: true });
  try {
    return [
      ...(await Promise.all(gatewayUrls.map((url) => checkGateway({ fetcher, url, signal })))).flat(),
      ...(kuboUrl === undefined ? [] : await checkKubo({ fetcher, url: kuboUrl, signal })),
      ...(await Promise.all(pulls.s3Places.map(checkPlace))).flat(),
      ...(gatewayUrls.length > 0 || kuboUrl !== undefined ? [] : [noSources]),
    ];
  } finally {
    fetcher.close();
  }
}

const noSources = sound(
  'ipfs sources',
  'none is configured (IPFS_GATEWAY_URL, IPFS_KUBO_URL): pins by CID wait for their origins, or for an upload',
);

interface Source {
  fetcher: Fetcher;
  url: string;
  signal: AbortSignal;
}

function checkGateway({ fetcher, url, signal }: Source): Promise<Finding[]> {
  const name = `ipfs gateway ${new URL(url).host}`;
  return examine(name, 'see that IPFS_GATEWAY_URL names a trustless gateway, without /ipfs at its end', async () => {
    const headers = { accept: 'application/vnd.ipld.raw' };
    const bytes = await read(fetcher, { url: `${url}/ipfs/${EMPTY_BLOCK}?format=raw`, headers, signal });
    if (bytes.length > 0) throw new LadingError('GATEWAY_ANSWERS_ELSE', `sent ${bytes.length} bytes as an empty block`);
    return [sound(name, 'answers for raw blocks')];
  });
}

function checkKubo({ fetcher, url, signal }: Source): Promise<Finding[]> {
  const name = 'ipfs kubo';
  return examine(
    name,
    'see that IPFS_KUBO_URL names the RPC of a Kubo node (port 5001), and that it runs',
    async () => {
      const text = await read(fetcher, { url: `${url}/api/v0/version`, method: 'POST', signal });
      const version = /"Version":"([\w.+-]{1,40})"/.exec(text.toString())?.[1];
      if (version === undefined) throw new LadingError('KUBO_ANSWERS_ELSE', `does not answer as Kubo does`);
      return [sound(name, `version ${version} answers at ${new URL(url).host}`)];
    },
  );
}

async function read(fetcher: Fetcher, request: OutgoingRequest): Promise<Buffer> {
  using answer = await fetcher.request({ ...request, limits: LIMITS });
  if (answer.status !== 200) throw new LadingError('ORIGIN_REFUSED', `answered ${answer.status}`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer.body) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

async function checkPlace(place: S3Place): Promise<Finding[]> {
  const name = `uploads from s3://${place.bucket}/${place.prefix}`;
  const advice = 'see LADING_PULL_S3 and AWS_…; the key needs s3:GetObject, and s3:ListBucket so that this can be seen';
  const found = await examine(name, advice, async () => {
    const { openS3Store } = await import('../storage/s3-store.ts');
    const store = await openS3Store(place);
    store.close();
    return [sound(name, 'can be read')];
  });
  // The store's own faults name the variable that it is mostly opened by.
  return found.map((one) => ({ ...one, text: one.text.replaceAll('STORE_URL', 'LADING_PULL_S3') }));
}
