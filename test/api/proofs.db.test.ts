import { Piece } from '@web3-storage/data-segment';
import * as dagCbor from '@ipld/dag-cbor';
import { CID } from 'multiformats/cid';
import { sha256 } from 'multiformats/hashes/sha2';
import { describe, expect, test } from 'vitest';
import { findSealed } from '../../src/aggregate/aggregate-rows.ts';
import { writeProofs } from '../../src/aggregate/keep/release/write-proofs.ts';
import { prefersDagCbor } from '../../src/api/uploads/proofs.ts';
import type { InclusionProof } from '../../src/filecoin/inclusion-proof.ts';
import type { LocalStore } from '../../src/storage/local-store.ts';
import { apiFixture, bearer, pieceTokens, tokens } from '../support/api-fixture.ts';
import { asV0, pbNode, rawBlock, sampleUpload } from '../support/car-builder.ts';
import { checkProof, type ProofForm } from '../support/proof-checker.ts';
import { sealedUploads, sendCar } from '../support/sealed-uploads.ts';
import { BATCH_ROOT, seedAggregate, seedDeal } from '../support/seed-rows.ts';

type Fixture = Awaited<ReturnType<typeof apiFixture>>;

const DAG_CBOR = 'application/vnd.ipld.dag-cbor';

function get(fixture: Fixture, path: string, headers: Record<string, string> = {}) {
  return fixture.server.inject({ url: `/uploads/${path}`, headers: { ...bearer(tokens.read), ...headers } });
}

async function cidOf(bytes: Uint8Array): Promise<string> {
  return CID.createV1(0x71, await sha256.digest(bytes)).toString();
}

describe('GET /uploads/{cid}/proof', () => {
  test('a proof for each upload that a verifier of data-segment alone accepts, with the fields of the design', async () => {
    await using fixture = await apiFixture();
    const short = { root: rawBlock('short').cid, blocks: [rawBlock('short')] };
    const samples = [sampleUpload('one', 4), short, sampleUpload('three', 30)];
    const { pieceCid, pieceSize, runs } = await sealedUploads(fixture, samples);
    for (const [at, { root }] of samples.entries()) {
      const response = await get(fixture, `${root}/proof`);
      expect(response.statusCode).toBe(200);
      expect(response.headers['content-type']).toBe('application/json; charset=utf-8');
      const { items, next } = response.json<{ items: (ProofForm & InclusionProof)[]; next: null }>();
      expect(next).toBeNull();
      expect(items).toHaveLength(1);
      const [proof] = items;
      if (proof === undefined) throw new Error('no proof');
      expect(proof).toMatchObject({ pieceCid, pieceSize, batchRootCid: BATCH_ROOT, root: root.toString(), deals: [] });
      expect(proof.selector).toBe(`Links/${at + 1}/Hash/Links/0/Hash/Links/0/Hash`);
      expect(checkProof(proof, runs[at] ?? new Uint8Array()).pieceCid).toBe(pieceCid);
      const fields = ['pieceCid', 'pieceSize', 'batchRootCid', 'root', 'selector', 'start', 'end', 'head', 'tail'];
      expect(Object.keys(proof)).toEqual([...fields, 'left', 'right', 'deals']);
    }
  });

  test('DAG-CBOR by Accept: the same values with bytes, its CID as ETag, each proof’s own CID in a header', async () => {
    await using fixture = await apiFixture();
    const sample = sampleUpload('one', 4);
    await sealedUploads(fixture, [sample, sampleUpload('two', 4)]);
    const json = await get(fixture, `${sample.root}/proof`);
    const cbor = await get(fixture, `${sample.root}/proof`, { accept: DAG_CBOR });
    expect(cbor.headers['content-type']).toBe(DAG_CBOR);
    const list = dagCbor.decode<{ items: Record<string, unknown>[]; next: null }>(cbor.rawPayload);
    const [proof] = list.items;
    const hex = (value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value);
    const asJson = Object.entries(proof ?? {}).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.map(hex) : hex(value),
    ]);
    expect({ items: [Object.fromEntries(asJson)], next: null }).toEqual(json.json());
    expect(cbor.headers['etag']).toBe(`"${await cidOf(cbor.rawPayload)}"`);
    expect(json.headers['etag']).toBe(`"${await cidOf(cbor.rawPayload)}.json"`);
    for (const response of [json, cbor]) {
      expect(response.headers['x-proof-cid']).toBe(await cidOf(dagCbor.encode(proof)));
      expect(response.headers['vary']).toBe('accept');
    }
    const same = await get(fixture, `${sample.root}/proof`, {
      accept: DAG_CBOR,
      'if-none-match': String(cbor.headers['etag']),
    });
    expect([same.statusCode, same.rawPayload.length]).toEqual([304, 0]);
    const other = await get(fixture, `${sample.root}/proof`, { 'if-none-match': String(cbor.headers['etag']) });
    expect(other.statusCode).toBe(200);
  });

  test('blocks=1 lists the CIDs of the run as the piece has them', async () => {
    await using fixture = await apiFixture();
    const root = asV0(pbNode([rawBlock('leaf')]));
    const blocks = [root, rawBlock('leaf')];
    await sealedUploads(fixture, [{ root: root.cid, blocks }]);
    const response = await get(fixture, `${root.cid}/proof?blocks=1`);
    expect(response.json().items[0].blocks).toEqual(blocks.map(({ cid }) => cid.toString()));
    for (const query of ['', '?blocks=0']) {
      expect((await get(fixture, `${root.cid}/proof${query}`)).json().items[0]).not.toHaveProperty('blocks');
    }
    expect((await get(fixture, `${root.cid}/proof?blocks=yes`)).statusCode).toBe(400);
  });

  test('names the chain ids of active deals alone, ascending', async () => {
    await using fixture = await apiFixture();
    const sample = sampleUpload('one', 4);
    const { id: aggregateId } = await sealedUploads(fixture, [sample]);
    const deals = [
      { state: 'active', chainDealId: 900n },
      { state: 'active', chainDealId: 17n },
      { state: 'published', chainDealId: 5n },
      { state: 'expired', chainDealId: 6n },
    ] as const;
    for (const [slot, deal] of deals.entries()) {
      await seedDeal(fixture.kysely, { aggregateId, slot, provider: `f0100${slot}`, ...deal });
    }
    expect((await get(fixture, `${sample.root}/proof`)).json().items[0].deals).toEqual([17, 900]);
  });

  test('an upload in several aggregates has a proof for each', async () => {
    await using fixture = await apiFixture();
    const sample = sampleUpload('twice', 4);
    const first = await sealedUploads(fixture, [sample]);
    const second = await sealedUploads(fixture, [sampleUpload('before', 9), sample]);
    const { items } = (await get(fixture, `${sample.root}/proof`)).json<{ items: ProofForm[] }>();
    expect(items.map(({ pieceCid }) => pieceCid)).toEqual([first.pieceCid, second.pieceCid]);
    for (const proof of items) expect(checkProof(proof, sample.run).pieceCid).toBe(proof.pieceCid);
  });

  test('more aggregates than one answer holds come page by page', async () => {
    await using fixture = await apiFixture();
    const sample = sampleUpload('often', 2);
    for (let copy = 0; copy < 9; copy += 1) {
      await sealedUploads(fixture, [sampleUpload(`beside ${copy}`, 2), sample]);
    }
    const first = (await get(fixture, `${sample.root}/proof`)).json();
    expect(first.items).toHaveLength(8);
    const second = (await get(fixture, `${sample.root}/proof?cursor=${first.next}`)).json();
    expect([second.items.length, second.next]).toEqual([1, null]);
    const pieces = [...first.items, ...second.items].map(({ pieceCid }) => pieceCid);
    expect(new Set(pieces).size).toBe(9);
    expect((await get(fixture, `${sample.root}/proof?cursor=nonsense`)).json()).toMatchObject({
      code: 'INVALID_CURSOR',
    });
  });

  test('404 for an unknown upload, 400 for no CID, 409 while it is not sealed', async () => {
    await using fixture = await apiFixture();
    const sample = sampleUpload('one', 4);
    expect((await get(fixture, `${sample.root}/proof`)).json()).toMatchObject({ status: 404, code: 'NOT_FOUND' });
    expect((await get(fixture, 'nonsense/proof')).json()).toMatchObject({ status: 400, code: 'INVALID_CID' });
    await sendCar(fixture, sample);
    const waiting = await get(fixture, `${sample.root}/proof`);
    expect(waiting.json()).toMatchObject({ status: 409, code: 'NOT_SEALED' });
    expect(waiting.headers['content-type']).toContain('application/problem+json');
    await seedAggregate(fixture.kysely, fixture.store, { roots: [sample.root.toString()], state: 'open' });
    expect((await get(fixture, `${sample.root}/proof`)).json()).toMatchObject({ status: 409, code: 'NOT_SEALED' });
  });

  test('is open to every role, and to nobody without a token or with a deal’s', async () => {
    await using fixture = await apiFixture();
    const sample = sampleUpload('one', 4);
    const { id: aggregateId } = await sealedUploads(fixture, [sample]);
    const dealId = await seedDeal(fixture.kysely, { aggregateId, slot: 0, provider: 'f01000', state: 'sent' });
    const url = `/uploads/${sample.root.toV0()}/proof`;
    for (const token of [tokens.upload, tokens.ops, tokens.read]) {
      expect((await fixture.server.inject({ url, headers: bearer(token) })).statusCode).toBe(200);
    }
    expect((await fixture.server.inject({ url })).statusCode).toBe(401);
    const headers = bearer(pieceTokens.tokenFor(dealId));
    expect((await fixture.server.inject({ url, headers })).statusCode).toBe(403);
  });

  test('no proof is handed out of stored bytes that do not make the piece', async () => {
    await using fixture = await apiFixture();
    const sample = sampleUpload('one', 4);
    const { pieceCid } = await sealedUploads(fixture, [sample]);
    const other = Piece.fromPayload(new Uint8Array(200)).toInfo().link.toString();
    await fixture.kysely
      .updateTable('aggregates')
      .set({ piece_cid: other })
      .where('piece_cid', '=', pieceCid)
      .execute();
    expect((await get(fixture, `${sample.root}/proof`)).statusCode).toBe(500);
  });

  test('bytes that are released while a proof is made of them: the answer is the proof that was stored', async () => {
    let release = async () => undefined;
    const store = (own: LocalStore) =>
      new Proxy(own, {
        get(target, name): unknown {
          if (name === 'read') {
            return async function* read(key: string, offset: number, length: number) {
              await release();
              yield* target.read(key, offset, length);
            };
          }
          const value: unknown = Reflect.get(target, name);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    await using fixture = await apiFixture({ store });
    const { kysely } = fixture;
    const sample = sampleUpload('one', 4);
    const { id } = await sealedUploads(fixture, [sample]);
    const before = (await get(fixture, `${sample.root}/proof`)).json<object>();
    const aggregate = await findSealed(kysely, id);
    if (aggregate === undefined) throw new Error('not sealed');
    const proofsKey = await writeProofs({ db: kysely, store: fixture.store }, aggregate, new AbortController().signal);
    release = async () => {
      release = async () => undefined;
      await kysely
        .updateTable('aggregates')
        .set({ released_at: new Date(), proofs_key: proofsKey })
        .where('id', '=', id)
        .execute();
      const parts = await kysely.deleteFrom('parts').returning('object_key').execute();
      for (const { object_key: key } of parts) await fixture.store.remove(key);
    };
    const during = await get(fixture, `${sample.root}/proof`);
    expect([during.statusCode, during.json()]).toEqual([200, before]);
  });
});

test.each([
  [undefined, false],
  ['*/*', false],
  ['application/json', false],
  [DAG_CBOR, true],
  [`${DAG_CBOR.toUpperCase()};q=0.5`, true],
  [`application/json, ${DAG_CBOR}`, true],
  [`application/json, ${DAG_CBOR};q=0.9`, false],
  [`application/json;q=0.1,${DAG_CBOR} ; q=0.2, */*`, true],
  [`${DAG_CBOR};q=0`, false],
])('Accept %s', (accept, expected) => {
  expect(prefersDagCbor(accept)).toBe(expected);
});
