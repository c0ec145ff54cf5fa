import { createHash } from 'node:crypto';
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
  filler_bytes: string;
  car_bytes: string;
  piece_cid: string;
  piece_bytes: string;
}

/** A stored range of a run, with the run that it is of. */
interface ExtentRow {
  seq: number;
  root: string;
  selector: string;
  cut: number | null;
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

interface Run {
  root: string;
  selector: string;
  cut: number | null;
  bytes: Buffer;
}

async function readRuns(extents: ExtentRow[], readObject: ReadObject): Promise<Run[]> {
  const runs = new Map<number, Omit<Run, 'bytes'> & { pieces: Uint8Array[] }>();
  const objects = new Map<string, Uint8Array>();
  for (const { seq, root, selector, cut, object_key: key, object_offset: offset, length_bytes: length } of extents) {
    const object = objects.get(key) ?? (await readObject(key));
    objects.set(key, object);
    const run = runs.get(seq) ?? { root, selector, cut, pieces: [] };
    run.pieces.push(object.subarray(Number(offset), Number(offset) + Number(length)));
    runs.set(seq, run);
  }
  return [...runs.values()].map(({ pieces, ...run }) => ({ ...run, bytes: Buffer.concat(pieces) }));
}

/** Filler, spelled out from its description: sections of one raw block of 64 KiB of zeros. */
function fillerOf(bytes: number): Buffer {
  const block = Buffer.alloc(65_536);
  const head = Buffer.from('a4800401551220', 'hex');
  const one = Buffer.concat([head, createHash('sha256').update(block).digest(), block]);
  return Buffer.concat(Array.from({ length: bytes / one.length }, () => one));
}

/** Blocks of one run by CIDv1, read by @ipld/car. */
async function blocksOf(run: Run): Promise<{ names: string[]; blocks: Map<string, Uint8Array> }> {
  const names: string[] = [];
  const blocks = new Map<string, Uint8Array>();
  for await (const { cid, bytes } of await CarBlockIterator.fromBytes(
    Buffer.concat([carHeader(CID.parse(run.root)), run.bytes]),
  )) {
    names.push(cid.toV1().toString());
    blocks.set(cid.toV1().toString(), bytes);
  }
  return { names, blocks };
}

/** A part of a cut upload: the root first, no block twice, and none that links within it do not lead to. */
async function brokenCut(run: Run): Promise<string[]> {
  const { names, blocks } = await blocksOf(run);
  const reached = new Set<string>();
  const due = [run.root];
  for (let name = due.pop(); name !== undefined; name = due.pop()) {
    const bytes = blocks.get(name);
    if (bytes === undefined || reached.has(name)) continue;
    reached.add(name);
    due.push(...linksOf(CID.parse(name), bytes).map((link) => link.toV1().toString()));
  }
  const what = `part ${run.cut} of ${run.root}`;
  return [
    ...(names[0] === run.root ? [] : [`${what} begins with ${names[0]}`]),
    ...(blocks.size === names.length ? [] : [`${what} has a block twice`]),
    ...(reached.size === blocks.size ? [] : [`${what}: ${blocks.size - reached.size} blocks cannot be reached in it`]),
  ];
}

/** Of uploads whose parts are all sealed: together they have every block below the root. */
async function brokenWholes(cuts: ReadonlyMap<string, Run[]>): Promise<string[]> {
  const broken: string[] = [];
  for (const [root, runs] of cuts) {
    const all = new Map<string, Uint8Array>();
    for (const run of runs) for (const [name, bytes] of (await blocksOf(run)).blocks) all.set(name, bytes);
    const missing = missingBelow(CID.parse(root), all);
    if (missing.length > 0) broken.push(`the parts of ${root} lack ${missing.length} blocks, first ${missing[0]}`);
  }
  return broken;
}

async function checkAggregate(row: SealedRow, runs: Run[], readObject: ReadObject): Promise<string[]> {
  const broken: string[] = [];
  const filler = fillerOf(Number(row.filler_bytes));
  const car = Buffer.concat([
    carHeader(CID.parse(row.batch_root)),
    ...runs.map(({ bytes }) => bytes),
    filler,
    await readObject(row.tree_key),
  ]);
  if (filler.length !== Number(row.filler_bytes)) {
    broken.push(`aggregate ${row.id}: ${row.filler_bytes} bytes of filler are no whole sections`);
  }
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
    if (run.cut !== null) broken.push(...(await brokenCut(run)).map((fault) => `${name}: ${fault}`));
    const missing = run.cut === null ? missingBelow(CID.parse(run.root), blocks) : [];
    if (missing.length > 0) broken.push(`${name}: ${run.root} lacks ${missing.length} blocks, first ${missing[0]}`);
  }
  return broken;
}

/** Re-reads every sealed aggregate from the store, byte for byte. */
export async function brokenBytes(client: Client, readObject: ReadObject): Promise<string[]> {
  const broken: string[] = [];
  const cuts = new Map<string, Run[]>();
  const sealed = await client.query<SealedRow>(
    `select * from aggregates where state = 'sealed' and released_at is null order by id`,
  );
  for (const row of sealed.rows) {
    const { rows } = await client.query<ExtentRow>(
      `select pl.seq, u.root, pl.selector, pl.cut, e.object_key, e.object_offset, e.length_bytes
       from placements pl join uploads u on u.id = pl.upload_id
       join lateral (
         select run_seq as at, object_key, object_offset, length_bytes from parts
         where pl.cut is null and upload_id = u.id and run_seq is not null
         union all
         select seq, object_key, object_offset, length_bytes from cut_extents
         where upload_id = u.id and cut = pl.cut) e on true
       where pl.aggregate_id = $1 order by pl.seq, e.at`,
      [row.id],
    );
    const runs = await readRuns(rows, readObject);
    broken.push(...(await checkAggregate(row, runs, readObject)));
    for (const run of runs) if (run.cut !== null) cuts.set(run.root, [...(cuts.get(run.root) ?? []), run]);
  }
  const whole = await client.query<{ root: string }>(
    `select u.root from uploads u where exists (select from cuts c where c.upload_id = u.id) and not exists (
       select from cuts c left join placements p on p.upload_id = c.upload_id and p.cut = c.cut
       left join aggregates a on a.id = p.aggregate_id
       where c.upload_id = u.id and (a.state is distinct from 'sealed' or a.released_at is not null))`,
  );
  const roots = new Set(whole.rows.map(({ root }) => root));
  broken.push(...(await brokenWholes(new Map([...cuts].filter(([root]) => roots.has(root))))));
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
