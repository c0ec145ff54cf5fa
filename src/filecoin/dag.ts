import { decode as decodeDagJson } from '@ipld/dag-json';
import { decode as decodeDagPb } from '@ipld/dag-pb';
import { CID } from 'multiformats/cid';

import { scanItem } from './cbor-scan.ts';
import { defaultCarLimits } from './car.ts';
import { decodeCid } from './cid.ts';
import { DAG_CBOR, DAG_JSON, DAG_PB, IDENTITY, RAW } from './codes.ts';
import { FormatError } from './format-error.ts';

const LINK_TAG = 42n;

/** As for identity CIDs; no hash function has a longer digest (boxo's verifcid has the same limit). */
const MAX_DIGEST_BYTES = defaultCarLimits.maxIdentityBytes;

/** A block of 8 MiB has room for 205,000 links with a hash of 32 bytes; one with more is full of tricks, not of links. */
const MAX_LINKS = 250_000;

/** No CID of such a digest has more characters, in whatever base. */
const MAX_LINK_CHARACTERS = 1_024;

/** The start of a link of DAG-JSON, in each way that JSON can write its key, and more text than a CID has. */
const LONG_JSON_LINK = new RegExp(`"(?:/|\\\\/|\\\\u002[fF])"\\s*:\\s*"[^"]{${MAX_LINK_CHARACTERS + 1}}`);

/**
 * The blocks that a block points to, in the order of its bytes, repeated as often as it names them.
 * An identity CID needs no block: in its place come the links of the block that it carries.
 * Throws FormatError UNKNOWN_CODEC, BLOCK_INVALID or IDENTITY_CID_TOO_LARGE.
 */
export function linksOf(cid: CID, bytes: Uint8Array): CID[] {
  return directLinks(cid, bytes).flatMap((link) => {
    checkDigest(cid, link);
    if (link.multihash.code !== IDENTITY) return [link];
    // What an identity CID carries is shorter than itself, so that this ends.
    return linksOf(link, link.multihash.digest);
  });
}

function directLinks(cid: CID, bytes: Uint8Array): CID[] {
  switch (cid.code) {
    case RAW:
      return [];
    case DAG_PB:
      return parse(cid, () => dagPbLinks(bytes));
    case DAG_CBOR:
      return parse(cid, () => dagCborLinks(bytes));
    case DAG_JSON:
      return parse(cid, () => dagJsonLinks(bytes));
    default:
      throw unknownCodec(cid);
  }
}

function addLink(links: CID[], link: CID): void {
  if (links.length >= MAX_LINKS) throw new Error(`it has more than ${MAX_LINKS} links`);
  links.push(link);
}

function dagPbLinks(bytes: Uint8Array): CID[] {
  const links: CID[] = [];
  for (const link of decodeDagPb(bytes).Links) addLink(links, link.Hash);
  return links;
}

/** Finds links without building the value: blocks that break DAG-CBOR's minor rules still have their links. */
function dagCborLinks(bytes: Uint8Array): CID[] {
  const links: CID[] = [];
  const onTag = (tag: bigint, content: Uint8Array | undefined) => {
    if (tag !== LINK_TAG) throw new Error(`DAG-CBOR has no tag ${tag}`);
    addLink(links, decodeLink(content));
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

function dagJsonLinks(bytes: Uint8Array): CID[] {
  // Reading base58 takes the square of its length: a link of megabytes would take hours.
  if (LONG_JSON_LINK.test(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1'))) {
    throw new Error(`a link has more than ${MAX_LINK_CHARACTERS} characters`);
  }
  const links: CID[] = [];
  const due: unknown[] = [decodeDagJson(bytes)];
  while (due.length > 0) {
    const value = due.pop();
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) continue;
    const link = CID.asCID(value);
    if (link !== null) addLink(links, link);
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

/** A link is kept until its block comes, so what it may take must have a bound. */
function checkDigest(cid: CID, { multihash: { code, size } }: CID): void {
  if (size <= MAX_DIGEST_BYTES) return;
  const identity = code === IDENTITY;
  throw new FormatError(
    identity ? 'IDENTITY_CID_TOO_LARGE' : 'BLOCK_INVALID',
    `${cid} links to ${identity ? 'an identity CID' : 'a digest'} of ${size} bytes, over ${MAX_DIGEST_BYTES}`,
    { cid: cid.toString(), length: size, limit: MAX_DIGEST_BYTES },
  );
}

function unknownCodec(cid: CID): FormatError {
  const codec = `0x${cid.code.toString(16)}`;
  const known = 'dag-pb, dag-cbor, dag-json and raw';
  return new FormatError('UNKNOWN_CODEC', `${cid} has the codec ${codec}; links are read of ${known}`, {
    cid: cid.toString(),
    codec,
  });
}
