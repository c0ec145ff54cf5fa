import { decode as decodeDagJson } from '@ipld/dag-json';
import { decode as decodeDagPb } from '@ipld/dag-pb';
import { CID } from 'multiformats/cid';

import { scanItem } from './cbor-scan.ts';
import { defaultCarLimits } from './car.ts';
import { decodeCid } from './cid.ts';
import { DAG_CBOR, DAG_JSON, DAG_PB, IDENTITY, RAW } from './codes.ts';
import { FormatError } from './format-error.ts';

const LINK_TAG = 42n;

/**
 * The blocks that a block points to, in the order of its bytes, repeated as often as it names them.
 * An identity CID needs no block: in its place come the links of the block that it carries.
 * Throws FormatError UNKNOWN_CODEC, BLOCK_INVALID or IDENTITY_CID_TOO_LARGE.
 */
export function linksOf(cid: CID, bytes: Uint8Array): CID[] {
  return directLinks(cid, bytes).flatMap((link) => {
    if (link.multihash.code !== IDENTITY) return [link];
    checkIdentity(cid, link);
    // What an identity CID carries is shorter than itself, so that this ends.
    return linksOf(link, link.multihash.digest);
  });
}

function directLinks(cid: CID, bytes: Uint8Array): CID[] {
  switch (cid.code) {
    case RAW:
      return [];
    case DAG_PB:
      return parse(cid, () => decodeDagPb(bytes).Links.map((link) => link.Hash));
    case DAG_CBOR:
      return parse(cid, () => dagCborLinks(bytes));
    case DAG_JSON:
      return parse(cid, () => dagJsonLinks(decodeDagJson(bytes)));
    default:
      throw unknownCodec(cid);
  }
}

/** Finds links without building the value: blocks that break DAG-CBOR's minor rules still have their links. */
function dagCborLinks(bytes: Uint8Array): CID[] {
  const links: CID[] = [];
  const onTag = (tag: bigint, content: Uint8Array | undefined) => {
    if (tag !== LINK_TAG) throw new Error(`DAG-CBOR has no tag ${tag}`);
    links.push(decodeLink(content));
  };
  const end = scanItem(bytes, 0, { lenient: true, onTag });
  if (end !== bytes.length) {
    throw new Error(end === undefined ? 'the CBOR item is cut short' : 'bytes follow the CBOR item');
  }
  return links;
}

function decodeLink(content: Uint8Array | undefined): CID {
  if (content?.[0] !== 0) throw new Error('a link is a byte string that begins with zero');
  return decodeCid(content.subarray(1));
}

function dagJsonLinks(root: unknown): CID[] {
  const links: CID[] = [];
  const due: unknown[] = [root];
  while (due.length > 0) {
    const value = due.pop();
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) continue;
    const link = CID.asCID(value);
    if (link !== null) links.push(link);
    else for (const child of Object.values(value).toReversed()) due.push(child);
  }
  return links;
}

function parse(cid: CID, read: () => CID[]): CID[] {
  try {
    return read();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new FormatError('BLOCK_INVALID', `the block ${cid} is not in the codec its CID names: ${why}`, {
      cid: cid.toString(),
    });
  }
}

function checkIdentity(cid: CID, link: CID): void {
  const { size } = link.multihash;
  const limit = defaultCarLimits.maxIdentityBytes;
  if (size <= limit) return;
  throw new FormatError('IDENTITY_CID_TOO_LARGE', `${cid} links to an identity CID of ${size} bytes, over ${limit}`, {
    cid: cid.toString(),
    length: size,
    limit,
  });
}

function unknownCodec(cid: CID): FormatError {
  const codec = `0x${cid.code.toString(16)}`;
  const known = 'dag-pb, dag-cbor, dag-json and raw';
  return new FormatError('UNKNOWN_CODEC', `${cid} has the codec ${codec}; links are read of ${known}`, {
    cid: cid.toString(),
    codec,
  });
}
