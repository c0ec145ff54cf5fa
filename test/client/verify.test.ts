import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readProofs } from '../../src/client/read-proofs.ts';
import { verifyInclusion, verifyUpload } from '../../src/client/verify.ts';
import {
  encodeProof,
  encodeProofList,
  proofCid,
  proofListToJson,
  proofToJson,
} from '../../src/filecoin/inclusion-proof.ts';
import {
  asV0,
  car,
  carV2,
  pbNode,
  rawBlock,
  sampleUpload,
  section,
  varint,
  type Block,
} from '../support/car-builder.ts';
import { blockList, provenUploads, type ProvenUpload } from '../support/proven-upload.ts';

const runs: Block[][] = [
  sampleUpload('first', 3).blocks,
  [rawBlock('short')],
  sampleUpload('middle', 40).blocks,
  [asV0(pbNode([])), rawBlock('of a CIDv0')],
  sampleUpload('last', 6).blocks,
];
const uploads = await provenUploads(runs, [7, 9]);

function upload(at: number): ProvenUpload {
  const found = uploads[at];
  if (found === undefined) throw new Error(`there is no upload ${at}`);
  return found;
}

describe('an upload and its proof', () => {
  test('verify, whatever the place and size of the upload', async () => {
    for (const { blocks, car: bytes, proof } of uploads) {
      const { start, end, pieceCid, pieceSize, root } = proof;
      const blockCount = blocks.length;
      expect(await verifyUpload({ car: bytes, proofs: [proof] })).toEqual({
        verified: true,
        root,
        proofs: [{ verified: true, pieceCid, pieceSize, root, start, end, blockCount, otherBlocks: 0 }],
        uncoveredBlocks: 0,
      });
    }
  });

  test('verify from a CARv2, from a file, with repeated blocks and with lengths that are not minimal', async () => {
    const { blocks, car: bytes, proof } = upload(0);
    const [root] = blocks;
    if (root === undefined) throw new Error('no root');
    const body = Buffer.concat([root.cid.bytes, root.bytes]);
    const length = varint(body.length);
    length.writeUInt8(length.readUInt8(length.length - 1) | 0x80, length.length - 1);
    const long = Buffer.concat([length, Buffer.of(0), body]);
    const again = Buffer.concat([car([root.cid], []), long, ...[...blocks.slice(1), root].map(section)]);
    for (const source of [carV2(bytes), new Blob([bytes]), again, car([root.cid], [...blocks, ...blocks])]) {
      expect(await verifyUpload({ car: source, proofs: [proof] })).toMatchObject({ verified: true });
    }
  });

  test('a CAR in another order verifies by the list of blocks, and only by it', async () => {
    for (const { blocks, proof } of uploads) {
      if (blocks.length < 2) continue;
      const listed = { ...proof, blocks: blockList(blocks) };
      const reversed = blocks.toReversed();
      expect(await verifyInclusion({ blocks: reversed, proof: listed })).toMatchObject({
        verified: true,
        otherBlocks: 0,
      });
      expect(await verifyInclusion({ blocks: reversed, proof })).toMatchObject({
        verified: false,
        code: 'PIECE_DIFFERS',
      });
    }
  });

  test('a list spells the CIDs as the piece has them: either version of a CID finds its block', async () => {
    const { blocks, proof } = upload(3);
    const asV1 = blocks.map(({ cid, bytes }) => ({ cid: cid.toV1(), bytes }));
    const listed = { ...proof, blocks: blockList(blocks) };
    expect(await verifyInclusion({ blocks: asV1, proof: listed })).toMatchObject({ verified: true });
  });

  test('blocks beyond the run are told, and make a whole upload unproven', async () => {
    const { blocks, proof } = upload(0);
    const listed = { ...proof, blocks: blockList(blocks) };
    const more = [...blocks, rawBlock('in no run')];
    expect(await verifyInclusion({ blocks: more, proof: listed })).toMatchObject({ verified: true, otherBlocks: 1 });
    const bytes = car(
      blocks.slice(0, 1).map(({ cid }) => cid),
      more,
    );
    expect(await verifyUpload({ car: bytes, proofs: [listed] })).toMatchObject({ verified: false, uncoveredBlocks: 1 });
  });

  test('the parts of a cut upload cover it together, and none alone', async () => {
    const { blocks } = sampleUpload('cut in two', 8);
    const [root, ...leaves] = blocks;
    if (root === undefined) throw new Error('no root');
    const cut = [
      [root, ...leaves.slice(0, 5)],
      [root, ...leaves.slice(5)],
    ];
    const parts = (await provenUploads(cut)).map(({ proof }, at) => ({ ...proof, blocks: blockList(cut[at] ?? []) }));
    const bytes = car([root.cid], blocks);
    expect(await verifyUpload({ car: bytes, proofs: parts })).toMatchObject({ verified: true, uncoveredBlocks: 0 });
    expect(await verifyUpload({ car: bytes, proofs: parts.slice(0, 1) })).toMatchObject({
      verified: false,
      uncoveredBlocks: 3,
    });
  });

  test('no proofs prove nothing', async () => {
    expect(await verifyUpload({ car: upload(0).car, proofs: [] })).toEqual({
      verified: false,
      root: upload(0).proof.root,
      proofs: [],
      uncoveredBlocks: null,
    });
  });
});

describe('what does not fit fails', () => {
  test('the proof of another upload, even when it claims this root', async () => {
    for (const [at, { car: bytes, proof }] of uploads.entries()) {
      const { proof: other } = upload((at + 1) % uploads.length);
      expect((await verifyUpload({ car: bytes, proofs: [other] })).proofs[0]).toMatchObject({ code: 'ANOTHER_UPLOAD' });
      const claimed = { ...other, root: proof.root };
      expect(await verifyUpload({ car: bytes, proofs: [claimed] })).toMatchObject({ verified: false });
    }
  });

  test('a missing block, a damaged block, and a root that is not among the blocks', async () => {
    const { blocks, proof } = upload(0);
    const listed = { ...proof, blocks: blockList(blocks) };
    const verify = (given: readonly Block[], one = proof) => verifyInclusion({ blocks: given, proof: one });
    expect(await verify(blocks.slice(1))).toMatchObject({ code: 'RUN_LENGTH_DIFFERS' });
    expect(await verify(blocks.slice(1), listed)).toMatchObject({ code: 'BLOCK_MISSING' });
    const damaged = blocks.map(({ cid, bytes }, at) => ({ cid, bytes: at === 1 ? bytes.toReversed() : bytes }));
    expect(await verify(damaged)).toMatchObject({ code: 'HASH_MISMATCH' });
    const { root } = upload(1).proof;
    expect(await verify(blocks, { ...proof, root })).toMatchObject({ code: 'ROOT_MISSING' });
    expect(await verify([])).toMatchObject({ code: 'RUN_LENGTH_DIFFERS' });
  });

  /** Neither the run nor the piece's CID speaks of these: the chain's label, or nothing, does. */
  const unproven = ['batchRootCid', 'selector', 'deals'] as const;

  test('any flipped byte of the DAG-CBOR form, but for what is said to be unproven', async () => {
    for (const { car: bytes, proof } of uploads) {
      const encoded = encodeProof(proof);
      const cid = proofCid(encoded).toString();
      const at = fc.integer({ min: 0, max: encoded.length - 1 });
      await fc.assert(
        fc.asyncProperty(at, fc.integer({ min: 1, max: 255 }), async (index, mask) => {
          const flipped = encoded.map((byte, one) => (one === index ? byte ^ mask : byte));
          expect(proofCid(flipped).toString()).not.toBe(cid);
          await expectFailure(bytes, () => readProofs(flipped), proof);
        }),
        { numRuns: 150 },
      );
    }
  });

  test('any flipped byte of the JSON form, but for what is said to be unproven', async () => {
    const { car: bytes, proof } = upload(2);
    const text = Buffer.from(JSON.stringify(proofToJson(proof)));
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: text.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        async (index, mask) => {
          const flipped = text.map((byte, one) => (one === index ? byte ^ mask : byte));
          await expectFailure(bytes, () => readProofs(flipped), proof);
        },
      ),
      { numRuns: 400 },
    );
  });

  async function expectFailure(
    bytes: Uint8Array,
    read: () => ReturnType<typeof readProofs>,
    proof: ProvenUpload['proof'],
  ) {
    let proofs: ReturnType<typeof readProofs>;
    try {
      proofs = read();
    } catch (error) {
      expect(error).toMatchObject({ code: 'PROOF_INVALID' });
      return;
    }
    const { verified } = await verifyUpload({ car: bytes, proofs });
    if (!verified) return;
    const [found] = proofs;
    expect({ ...found, batchRootCid: '', selector: '', deals: [] }).toEqual({
      ...proof,
      batchRootCid: '',
      selector: '',
      deals: [],
    });
    expect(unproven.some((field) => JSON.stringify(found?.[field]) !== JSON.stringify(proof[field]))).toBe(true);
  }

  test('any flipped byte of the CAR, header and sections', async () => {
    for (const { car: bytes, proof } of uploads) {
      const at = fc.integer({ min: 0, max: bytes.length - 1 });
      await fc.assert(
        fc.asyncProperty(at, fc.integer({ min: 1, max: 255 }), async (index, mask) => {
          const flipped = Uint8Array.from(bytes, (byte, one) => (one === index ? byte ^ mask : byte));
          const verified = await verifyUpload({ car: flipped, proofs: [proof] }).then(
            (result) => result.verified,
            (error: Error & { code: string }) => !/^(CAR_|INVALID_CID|IDENTITY_)/.test(error.code),
          );
          expect(verified).toBe(false);
        }),
        { numRuns: 150 },
      );
    }
  });
});

test('proofs are read in every form that they come in', () => {
  const { proof } = upload(0);
  const list = { items: [proof, upload(1).proof], next: null };
  const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  expect(readProofs(encodeProof(proof))).toEqual([proof]);
  expect(readProofs(text(proofToJson(proof)))).toEqual([proof]);
  expect(readProofs(encodeProofList(list))).toEqual(list.items);
  expect(readProofs(text(proofListToJson(list)))).toEqual(list.items);
  for (const bad of [
    '{',
    '{}',
    '[]',
    '',
    '{"items":{},"next":null}',
    '{"items":[],"next":1}',
    '{"items":[],"next":null,"more":1}',
  ]) {
    expect(() => readProofs(new TextEncoder().encode(bad)), bad).toThrow(
      expect.objectContaining({ code: 'PROOF_INVALID' }),
    );
  }
});
