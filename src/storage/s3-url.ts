/** Where an S3 store lies. */
export interface S3Place {
  bucket: string;
  /** What every key is put behind: empty, or path segments without a slash at either end. */
  prefix: string;
  /** Undefined: the AWS endpoint of the region. */
  endpoint: string | undefined;
  /** Undefined: AWS_REGION, or the shared AWS configuration. */
  region: string | undefined;
}

const FORM = 's3://bucket/prefix?endpoint=https://host&region=name';
const PARAMETERS = ['endpoint', 'region'];
/** Servers other than AWS mostly take any region, and sign with this one by default. */
const REGION_OF_OTHERS = 'us-east-1';

/**
 * Reads `s3://bucket/prefix?endpoint=…&region=…`. Throws an Error that says what is wrong and never repeats the text:
 * somebody may have put a secret into it.
 */
export function parseS3Url(text: string): S3Place {
  if (!URL.canParse(text)) throw new Error(`is not of the form ${FORM}`);
  const url = new URL(text);
  if (url.protocol !== 's3:') throw new Error(`is not of the form ${FORM}`);
  if (url.username !== '' || url.password !== '')
    throw new Error('credentials do not belong in the URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY');
  checkParameters(url);
  const bucket = url.host;
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) throw new Error(`names no bucket; the form is ${FORM}`);
  const endpoint = parseEndpoint(url.searchParams.get('endpoint'));
  const region = url.searchParams.get('region') ?? (endpoint === undefined ? undefined : REGION_OF_OTHERS);
  return { bucket, prefix: parsePrefix(url.pathname), endpoint, region };
}

function checkParameters({ searchParams, hash }: URL): void {
  const unknown = [...searchParams.keys()].filter((name) => !PARAMETERS.includes(name));
  if (unknown.length > 0 || hash !== '') throw new Error(`has parts we do not know; the form is ${FORM}`);
  const region = searchParams.get('region');
  if (region !== null && !/^[a-z0-9-]{1,40}$/.test(region))
    throw new Error('region is not a name such as eu-central-1');
}

function parsePrefix(path: string): string {
  const prefix = path.replace(/^\/+|\/+$/g, '');
  const segments = prefix === '' ? [] : prefix.split('/');
  if (!segments.every((segment) => /^[A-Za-z0-9_.-]+$/.test(segment) && !/^\.\.?$/.test(segment)))
    throw new Error('the prefix may have letters, digits and _.- between single slashes');
  return prefix;
}

function parseEndpoint(text: string | null): string | undefined {
  if (text === null) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '')
    throw new Error('endpoint is not an http(s) URL such as https://s3.example.com');
  return text.replace(/\/+$/, '');
}
