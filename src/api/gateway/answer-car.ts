import type { Kysely } from 'kysely';
import type { CID } from 'multiformats/cid';
import type { OpenBlocks } from '../../aggregate/blocks/block-pool.ts';
import { fileBytesOf, rangeWithin, type DagScope, type FileRange } from '../../aggregate/blocks/entity-links.ts';
import { packChunks } from '../../aggregate/blocks/pack-chunks.ts';
import { listStoredParts, type StoredUpload } from '../../aggregate/blocks/stored-upload.ts';
import { readStoredRun } from '../../aggregate/blocks/stored-run.ts';
import { walkDag } from '../../aggregate/blocks/walk-dag.ts';
import type { DB } from '../../db/tables.ts';
import { carV1Header } from '../../filecoin/car.ts';
import { IDENTITY } from '../../filecoin/codes.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { resolvePath, type ContentPath } from './content-path.ts';
import { outside, parseEntityBytes } from './entity-bytes.ts';
import { carEtag, type CarShape } from './gateway-headers.ts';
import type { Format } from './format.ts';

/** Larger uploads are sent in the order in which they are stored, where nobody asks for another: at the speed of the disk. */
const STORED_ORDER_BYTES = 64 * 1024 * 1024;

export interface CarAsked extends ContentPath {
  /** As its URL has it. */
  path: string;
  format: Extract<Format, { kind: 'car' }>;
  scope: DagScope | undefined;
  entityBytes: string | undefined;
}

/** A CAR that is ready to be sent. */
export interface CarAnswer {
  etag: string;
  roots: CID[];
  shape: CarShape;
  chunks(signal: AbortSignal): AsyncGenerator<Uint8Array>;
}

interface Sources {
  kysely: Kysely<DB>;
  store: Pick<ObjectStore, 'read'>;
}

/** All of a large upload as it is stored; undefined where something else is asked for. */
export function answerStored(sources: Sources, upload: StoredUpload, asked: CarAsked): CarAnswer | undefined {
  const { cid, format, segments, scope = 'all', entityBytes } = asked;
  const isWhole = upload.complete && segments.length === 0 && scope === 'all' && entityBytes === undefined;
  if (!isWhole || format.dups || format.order === 'dfs' || upload.runBytes <= STORED_ORDER_BYTES) return undefined;
  const shape: CarShape = { scope, entityBytes, order: 'unk', dups: false };
  const chunks = async function* (signal: AbortSignal) {
    const parts = await listStoredParts(sources.kysely, upload);
    yield* packChunks(withHeader(cid, readStoredRun(sources.store, { root: upload.root, parts, signal })));
  };
  return { etag: carEtag(asked, cid, shape), roots: [cid], shape, chunks };
}

/** What the path, the scope and the range take of an upload, in depth-first order. */
export async function answerWalk(open: OpenBlocks, asked: CarAsked): Promise<CarAnswer> {
  const { path, end, roots } = await resolvePath(open, asked);
  const { entityBytes, format } = asked;
  const given = entityBytes === undefined ? (asked.scope ?? 'all') : 'entity';
  const { scope, range } =
    entityBytes === undefined ? { scope: given, range: undefined } : await scopeOf(open, end, entityBytes);
  const shape: CarShape = { scope: given, entityBytes, order: 'dfs', dups: format.dups };
  const sections = () => walkDag(open, { path, start: end, scope, range, dups: format.dups });
  const chunks = () => packChunks(withHeader(end, sections()));
  return { etag: carEtag(asked, end, shape), roots, shape, chunks };
}

/** Of what is no file all of the entity, and where no byte is asked for the block that says so. */
async function scopeOf(
  open: OpenBlocks,
  end: CID,
  entityBytes: string,
): Promise<{ scope: DagScope; range: FileRange | undefined }> {
  const wanted = parseEntityBytes(entityBytes);
  const fileBytes = fileBytesOf(end, await blockOf(open, end));
  if (fileBytes === undefined) return { scope: 'entity', range: undefined };
  const range = rangeWithin(wanted, fileBytes);
  if (range === 'outside') throw outside(entityBytes);
  return range === undefined ? { scope: 'block', range } : { scope: 'entity', range };
}

/** The block where a path ends, which is there. */
export async function blockOf(open: OpenBlocks, cid: CID): Promise<Uint8Array> {
  if (cid.multihash.code === IDENTITY) return cid.multihash.digest;
  const id = await open.blocks.find(cid, open.reader);
  if (id === undefined) throw new Error(`the block ${cid} was found and is gone`);
  return (await open.blocks.read(id, cid, open.reader)).block;
}

async function* withHeader(root: CID, sections: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield carV1Header(root);
  yield* sections;
}
