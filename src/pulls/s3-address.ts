import { BadInput } from '../errors.ts';
import type { S3Place } from '../storage/s3-url.ts';

export interface S3Address {
  bucket: string;
  key: string;
  endpoint: string | undefined;
  region: string | undefined;
}

const FORM = 's3://bucket/key?endpoint=https://host&region=name';
const AWS = 'amazonaws.com';

/** Pure. Throws `URL_REFUSED`. */
export function parseS3Address(text: string): S3Address {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 's3:') throw refused(`it is not of the form ${FORM}`);
  if (url.username !== '' || url.password !== '' || url.port !== '') throw refused(`it is not of the form ${FORM}`);
  const unknown = [...url.searchParams.keys()].filter((name) => name !== 'endpoint' && name !== 'region');
  if (unknown.length > 0) throw refused(`${unknown.join(', ')} is not known in ${FORM}; a ? in a key is written %3F`);
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(url.host)) throw refused(`it names no bucket: ${FORM}`);
  const key = decoded(url.pathname.slice(1));
  if (key === '' || key.endsWith('/')) throw refused(`it names no object: ${FORM}`);
  // Whoever takes such a key for a path is led out of the folder that we may read.
  if (key.split('/').some((name) => name === '.' || name === '..'))
    throw refused('its key must not hold . or .. as a name');
  const endpoint = url.searchParams.get('endpoint') ?? undefined;
  const region = url.searchParams.get('region') ?? undefined;
  if (endpoint !== undefined && !/^https?:\/\/[^/?#@]+\/?$/.test(endpoint))
    throw refused('endpoint is not an http(s) URL such as https://s3.example.com');
  if (region !== undefined && !/^[a-z0-9-]{1,40}$/.test(region))
    throw refused('region is not a name such as eu-central-1');
  return { bucket: url.host, key, endpoint: endpoint?.replace(/\/$/, ''), region };
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw refused('a % in it does not begin an escape: write %25');
  }
}

function refused(why: string): BadInput {
  return new BadInput('URL_REFUSED', `url: ${why}`);
}

/** Pure: where the object of a public bucket is read without credentials. */
export function publicUrlOf({ bucket, key, endpoint, region }: S3Address): string {
  const path = key.split('/').map(encodeURIComponent).join('/');
  if (endpoint !== undefined) return `${endpoint}/${bucket}/${path}`;
  const host = region === undefined ? `s3.${AWS}` : `s3.${region}.${AWS}`;
  // The certificate stands for names of one level.
  return bucket.includes('.') ? `https://${host}/${bucket}/${path}` : `https://${bucket}.${host}/${path}`;
}

/** Pure: the place of our configuration that the object lies in, whose credentials then read it. */
export function placeOf(address: S3Address, places: readonly S3Place[]): S3Place | undefined {
  const { bucket, key, endpoint, region } = address;
  return places.find(
    (place) =>
      place.bucket === bucket &&
      (place.prefix === '' || key.startsWith(`${place.prefix}/`)) &&
      (endpoint === undefined || endpoint === place.endpoint) &&
      (region === undefined || region === place.region),
  );
}
