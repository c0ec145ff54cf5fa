import { resolvers } from 'ipfs-unixfs-exporter';
import type { CID } from 'multiformats/cid';
import type { OpenBlocks } from '../../aggregate/blocks/block-pool.ts';
import { LadingError } from '../../errors.ts';
import { DAG_PB, IDENTITY } from '../../filecoin/codes.ts';

/** `/ipfs/{cid}/a/b` as its URL has it. */
export interface ContentPath {
  cid: CID;
  segments: readonly string[];
}

/** Where a path ends, and what leads there. */
export interface Resolved {
  /** Blocks that were read on the way, in this order, without the last. */
  path: CID[];
  end: CID;
  /** What each segment begins at: the CID of the request, and then that of each name. */
  roots: CID[];
}

/**
 * Follows the names of a path through directories, sharded ones too, and through maps of DAG-CBOR and DAG-JSON. Throws
 * `NOT_FOUND`.
 */
export async function resolvePath(open: OpenBlocks, { cid, segments }: ContentPath): Promise<Resolved> {
  const read: CID[] = [];
  const roots = [cid];
  let end = cid;
  for (let rest = [...segments]; rest.length > 0; ) {
    const next = await followOne(open, { from: end, rest, read });
    if (!next.cid.equals(end)) roots.push(next.cid);
    // No deeper: within a map of DAG-CBOR or DAG-JSON it has come to what is no link; a file has no names below it.
    else if (next.rest.length > 0 || end.code === DAG_PB) throw nothingAt(rest, end);
    [end, rest] = [next.cid, next.rest];
  }
  // The end of a path within a map is the map, which was read.
  const path = read.at(-1)?.equals(end) === true ? read.slice(0, -1) : read;
  if (end.multihash.code !== IDENTITY && (await open.blocks.find(end, open.reader)) === undefined) {
    throw new LadingError('NOT_FOUND', `the block ${end} is not stored here`);
  }
  return { path, end, roots };
}

interface Following {
  from: CID;
  rest: string[];
  read: CID[];
}

async function followOne(open: OpenBlocks, { from, rest, read }: Following): Promise<{ cid: CID; rest: string[] }> {
  const resolver = resolvers[from.code];
  if (resolver === undefined) throw nothingAt(rest, from);
  try {
    const blocks = { get: (cid: CID) => readBlock(open, cid, read) };
    for await (const found of resolver(from, rest, blocks)) return { cid: found.cid, rest: found.rest };
  } catch (error) {
    if (error instanceof LadingError) throw error;
    throw nothingAt(rest, from, error);
  }
  throw nothingAt(rest, from);
}

/** A copy: who follows links may read more blocks while it looks at one. */
async function* readBlock(open: OpenBlocks, cid: CID, read: CID[]): AsyncGenerator<Uint8Array> {
  if (cid.multihash.code === IDENTITY) {
    yield cid.multihash.digest;
    return;
  }
  const id = await open.blocks.find(cid, open.reader);
  if (id === undefined) throw new LadingError('NOT_FOUND', `the block ${cid} on the way is not stored here`);
  read.push(cid);
  const { block } = await open.blocks.read(id, cid, open.reader);
  yield new Uint8Array(block);
}

function nothingAt(rest: readonly string[], cid: CID, cause?: unknown): LadingError {
  return new LadingError('NOT_FOUND', `there is nothing at /${rest.join('/')} below ${cid}`, { cause });
}

/** Pure: the names of a URL after its CID, each decoded by itself, so that a name may hold a slash. */
export function segmentsOf(url: string): string[] {
  const [path = ''] = url.split('?');
  const names = path.split('/').slice(3);
  try {
    return names.filter((name) => name !== '').map((name) => decodeURIComponent(name));
  } catch {
    throw new LadingError(
      'INVALID_REQUEST',
      `the path ${path} has a % that is not followed by the code of a character`,
    );
  }
}
