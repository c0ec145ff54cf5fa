import { createHash } from 'node:crypto';
import type { FastifyReply } from 'fastify';
import type { CID } from 'multiformats/cid';
import type { DagScope } from '../../aggregate/blocks/entity-links.ts';
import { CAR_TYPE, RAW_TYPE } from './format.ts';

/** What is the same CID for ever may be kept as long as HTTP allows; not by caches that others use, for a token opened it. */
const CACHE_CONTROL = 'private, max-age=31536000, immutable, no-transform';

/** What a CAR holds and how, beside its CID and path. */
export interface CarShape {
  scope: DagScope;
  entityBytes: string | undefined;
  order: 'dfs' | 'unk';
  dups: boolean;
}

/** The request as its client wrote it. */
export interface Asked {
  /** `/ipfs/…`, escaped. */
  path: string;
  cidText: string;
  filename: string | undefined;
  /** As its client wrote it. */
  query: string;
  /** The format was told by Accept alone. */
  byAccept: boolean;
}

export function rawEtag(cid: CID): string {
  return `"${cid}.raw"`;
}

/** Weak: another walk of the same blocks is as good. Its start differs by scope, as the specification asks. */
export function carEtag(asked: Pick<Asked, 'path'>, end: CID, shape: CarShape): string {
  const { scope, entityBytes = '', order, dups } = shape;
  const what = JSON.stringify([asked.path, scope, entityBytes, order, dups]);
  return `W/"${scope}.${createHash('sha256').update(what).digest('hex').slice(0, 16)}.${end}.car"`;
}

export function setRawHeaders(reply: FastifyReply, asked: Asked, { cid, roots }: { cid: CID; roots: CID[] }): void {
  setCommon(reply, asked, { roots, etag: rawEtag(cid), extension: 'bin', format: 'format=raw' });
  reply.header('accept-ranges', 'bytes').type(RAW_TYPE);
}

export function setCarHeaders(
  reply: FastifyReply,
  asked: Asked,
  { etag, roots, shape }: { etag: string; roots: CID[]; shape: CarShape },
): void {
  const { order, dups } = shape;
  const isToldByAccept = dups && !/(?:^|&)car-dups=/.test(asked.query);
  const format = isToldByAccept ? 'format=car&car-dups=y' : 'format=car';
  setCommon(reply, asked, { roots, etag, extension: 'car', format });
  reply.header('accept-ranges', 'none').type(`${CAR_TYPE}; version=1; order=${order}; dups=${dups ? 'y' : 'n'}`);
}

interface Common {
  roots: CID[];
  etag: string;
  extension: string;
  /** What a query says that asks for the same. */
  format: string;
}

function setCommon(reply: FastifyReply, asked: Asked, { roots, etag, extension, format }: Common): void {
  const { path, cidText, filename = `${cidText}.${extension}`, query, byAccept } = asked;
  reply
    .header('etag', etag)
    .header('cache-control', CACHE_CONTROL)
    .header('vary', 'Accept')
    .header('x-ipfs-path', path)
    .header('x-ipfs-roots', roots.join(','))
    .header('content-disposition', attachment(filename));
  // With its scope and range: who keeps the answer under this address must not take a part for the whole.
  if (byAccept) reply.header('content-location', `${path}?${query === '' ? '' : `${query}&`}${format}`);
}

/** RFC 6266, RFC 8187: for old readers in ASCII, for the others as it is. */
function attachment(filename: string): string {
  const ascii = filename.replaceAll(/[^\x20-\x7e]|["\\]/g, '_');
  const exact = encodeURIComponent(filename).replaceAll(/['()*]/g, (one) => `%${one.charCodeAt(0).toString(16)}`);
  return `attachment; filename="${ascii}"${ascii === filename ? '' : `; filename*=UTF-8''${exact}`}`;
}

/** Pure: does the client have it? RFC 9110 section 13.1.2: compared weakly. */
export function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  const plain = (text: string) => text.trim().replace(/^W\//, '');
  return ifNoneMatch.split(',').some((one) => plain(one) === '*' || plain(one) === plain(etag));
}
