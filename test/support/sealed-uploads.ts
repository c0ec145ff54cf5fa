import { Piece } from '@web3-storage/data-segment';
import * as dagCbor from '@ipld/dag-cbor';
import { CID } from 'multiformats/cid';
import { bearer, tokens, type ApiFixture } from './api-fixture.ts';
import { car, rawBlock, sections, varint, type Block } from './car-builder.ts';
import { BATCH_ROOT, seedAggregate } from './seed-rows.ts';

interface Sample {
  root: CID;
  blocks: readonly Block[];
}

export async function sendCar(fixture: ApiFixture, { root, blocks }: Sample): Promise<void> {
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  const payload = car([root], blocks);
  const { statusCode, body } = await fixture.server.inject({ method: 'POST', url: '/upload', payload, headers });
  if (statusCode !== 200) throw new Error(`the upload was answered ${statusCode} ${body}`);
}

/** Uploads sent and placed in a sealed aggregate of their own, whose piece data-segment computes. */
export async function sealedUploads(fixture: ApiFixture, samples: readonly Sample[]) {
  for (const sample of samples) await sendCar(fixture, sample);
  const tree = sections([rawBlock(`the tree over ${samples.map(({ root }) => root).join(' ')}`)]);
  const runs = samples.map(({ blocks }) => sections(blocks));
  const head = dagCbor.encode({ roots: [CID.parse(BATCH_ROOT)], version: 1 });
  const bytes = Buffer.concat([varint(head.length), head, ...runs, tree]);
  const { link, size } = Piece.fromPayload(Uint8Array.from(bytes)).toInfo();
  const roots = samples.map(({ root }) => root.toV1().toString());
  const pieceCid = link.toString();
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots, tree, pieceCid });
  return { id, pieceCid, pieceSize: Number(size), runs, bytes };
}
