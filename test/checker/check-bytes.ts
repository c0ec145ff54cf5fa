import { CarBlockIterator } from '@ipld/car';
import * as dagCbor from '@ipld/dag-cbor';
import * as dagPb from '@ipld/dag-pb';
import * as hasher from 'fr32-sha2-256-trunc254-padded-binary-tree-multihash';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import { sha256 } from 'multiformats/hashes/sha2';
import { equals } from 'multiformats/bytes';
import type { Client } from 'pg';
import { decodeSignedProposal, proposalCid } from '../../src/filecoin/proposal.ts';
import { verifySignature } from '../../src/filecoin/signature.ts';
import { formatAddress } from '../../src/filecoin/address.ts';

/** Reads a stored object whole; the checker knows no store but this function. */
export type ReadObject = (key: string) => Promise<Uint8Array>;

interface SealedRow {
  id: bigint;
  batch_root: string;
  tree_key: string;
  car_bytes: string;
  piece_cid: string;
  piece_bytes: string;
}

interface RunRow {
  root: string;
  selector: string;
  object_key: string;
  object_offset: string;
  length_bytes: string;
}

/** The 59-byte CARv1 header, spelled out from the specification: varint 58, {"roots":[tag 42],"version":1}. */
function carHeader(root: CID): Uint8Array {
  const body = dagCbor.encode({ roots: [root], version: 1 });
  return Buffer.concat([Uint8Array.of(body.length), body]);
}

function linksOf(cid: CID, bytes: Uint8Array): CID[] {
  if (cid.code === raw.code) return [];
  if (cid.code === dagPb.code) return dagPb.decode(bytes).Links.map(({ Hash }) => Hash);
  const found: CID[] = [];
  const visit = (value: unknown): void => {
    const link = CID.asCID(value);
    if (link) found.push(link);
    else if (value && typeof value === 'object' && !(value instanceof Uint8Array)) Object.values(value).forEach(visit);
  };
  visit(dagCbor.decode(bytes));
  return found;
}

/** CIDs below `root` that `blocks` does not hold. */
function missingBelow(root: CID, blocks: Map<string, Uint8Array>): string[] {
  const seen = new Set<string>();
  const missing: string[] = [];
  const queue = [root];
  for (let cid = queue.pop(); cid !== undefined; cid = queue.pop()) {
    const key = cid.toV1().toString();
    if (seen.has(key)) continue;
    seen.add(key);
    const bytes = cid.multihash.code === 0 ? cid.multihash.digest : blocks.get(key);
    if (bytes === undefined) missing.push(key);
    else queue.push(...linksOf(cid, bytes));
  }
  return missing;
}

function walk(blocks: Map<string, Uint8Array>, batchRoot: string, selector: string): string | undefined {
  let at: string | undefined = batchRoot;
  for (const [, index] of selector.matchAll(/Links\/(\d+)\/Hash/g)) {
    const bytes: Uint8Array | undefined = at === undefined ? undefined : blocks.get(at);
    at = bytes && dagPb.decode(bytes).Links[Number(index)]?.Hash.toV1().toString();
  }
  return at;
}

/** CommP by the Rust hasher, zero-padded by it to the next power of two. */
function pieceOf(car: Uint8Array): { cid: string; paddedBytes: bigint } {
  const hash = hasher.create();
  hash.write(car);
  const multihash = new Uint8Array(hash.multihashByteLength());
  hash.digestInto(multihash, 0, true);
  const height = BigInt(multihash.at(-33) ?? 0);
  const root = multihash.subarray(-32);
  const v1 = CID.createV1(0xf101, {
    code: 0x1012,
    size: 32,
    digest: root,
    bytes: Buffer.concat([Uint8Array.of(0x92, 0x20, 32), root]),
  });
  return { cid: v1.toString(), paddedBytes: 32n << height };
}

async function checkAggregate(row: SealedRow, runs: RunRow[], readObject: ReadObject): Promise<string[]> {
  const broken: string[] = [];
  const bytes: Uint8Array[] = [carHeader(CID.parse(row.batch_root))];
  for (const run of runs) {
    const object = await readObject(run.object_key);
    const start = Number(run.object_offset);
    bytes.push(object.subarray(start, start + Number(run.length_bytes)));
  }
  bytes.push(await readObject(row.tree_key));
  const car = Buffer.concat(bytes);
  const name = `aggregate ${row.id}`;
  if (BigInt(car.length) !== BigInt(row.car_bytes))
    broken.push(`${name}: ${car.length} bytes, row says ${row.car_bytes}`);
  const piece = pieceOf(car);
  if (piece.cid !== row.piece_cid || piece.paddedBytes !== BigInt(row.piece_bytes)) {
    broken.push(
      `${name}: recomputed ${piece.cid} of ${piece.paddedBytes}, row says ${row.piece_cid} of ${row.piece_bytes}`,
    );
  }
  const blocks = new Map<string, Uint8Array>();
  for await (const block of await CarBlockIterator.fromBytes(car)) {
    const digest = await sha256.digest(block.bytes);
    if (block.cid.multihash.code === sha256.code && !equals(digest.digest, block.cid.multihash.digest)) {
      broken.push(`${name}: block ${block.cid} does not hash to its CID`);
    }
    blocks.set(block.cid.toV1().toString(), block.bytes);
  }
  for (const run of runs) {
    const found = walk(blocks, row.batch_root, run.selector);
    if (found !== run.root) broken.push(`${name}: selector of ${run.root} leads to ${found}`);
    const missing = missingBelow(CID.parse(run.root), blocks);
    if (missing.length > 0) broken.push(`${name}: ${run.root} lacks ${missing.length} blocks, first ${missing[0]}`);
  }
  return broken;
}

/** Re-reads every sealed aggregate from the store, byte for byte. */
export async function brokenBytes(client: Client, readObject: ReadObject): Promise<string[]> {
  const broken: string[] = [];
  const sealed = await client.query<SealedRow>(`select * from aggregates where state = 'sealed' order by id`);
  for (const row of sealed.rows) {
    const runs = await client.query<RunRow>(
      `select u.root, pl.selector, pa.object_key, pa.object_offset, pa.length_bytes
       from placements pl join uploads u on u.id = pl.upload_id join parts pa on pa.upload_id = u.id and pa.run_seq is not null
       where pl.aggregate_id = $1 order by pl.seq, pa.run_seq`,
      [row.id],
    );
    broken.push(...(await checkAggregate(row, runs.rows, readObject)));
  }
  return broken;
}

/** Every stored proposal decodes, is signed by its client, and says what its columns say. */
export async function brokenProposals(client: Client): Promise<string[]> {
  const { rows } = await client.query(
    `select d.*, a.piece_cid, a.piece_bytes from deals d join aggregates a on a.id = d.aggregate_id`,
  );
  return rows.flatMap((row) => {
    const { proposal, proposalBytes, signature } = decodeSignedProposal(row.signed_proposal);
    const told = [
      proposal.pieceCid.toString() === row.piece_cid && proposal.pieceBytes === BigInt(row.piece_bytes),
      formatAddress(proposal.provider) === row.provider_id && formatAddress(proposal.client) === row.client,
      BigInt(proposal.startEpoch) === BigInt(row.start_epoch) && BigInt(proposal.endEpoch) === BigInt(row.end_epoch),
      proposal.pricePerEpoch === BigInt(row.price_per_epoch) && proposal.verified === row.verified,
      proposalCid(proposalBytes).toString() === row.proposal_cid,
      verifySignature(signature, proposalBytes, proposal.client),
    ];
    return told.every(Boolean) ? [] : [`deal ${row.id}: its proposal and its columns differ (${told.join(', ')})`];
  });
}
