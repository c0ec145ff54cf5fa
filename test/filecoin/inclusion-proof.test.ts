import * as dagCbor from '@ipld/dag-cbor';
import { CID } from 'multiformats/cid';
import { sha256 } from 'multiformats/hashes/sha2';
import { describe, expect, test } from 'vitest';
import {
  decodeProof,
  decodeProofList,
  encodeProof,
  encodeProofList,
  proofCid,
  proofFromJson,
  proofListFromJson,
  proofListToJson,
  proofToJson,
  type InclusionProof,
} from '../../src/filecoin/inclusion-proof.ts';

const ROOT = 'bafkreidjfulqwgi23ot5vkplvhu3boqawf42nzcz4gcyniwuodguxmcixq';

const proof: InclusionProof = {
  pieceCid: 'baga6ea4seaqcfs2mrjyaqnwgdheb4ny76i6yaeeklcylqijaha3kpcwmutnb6ma',
  pieceSize: 1024,
  batchRootCid: 'bafybeig2qsdu6nfmmaxlpnrpcz63jzyb6bzc4ngllv4mcj7q66ei4rq72y',
  root: ROOT,
  selector: 'Links/1/Hash/Links/0/Hash/Links/0/Hash',
  start: 130,
  end: 250,
  head: Uint8Array.of(1, 2, 0xab),
  tail: Uint8Array.of(0, 0, 0, 0xff),
  left: [null, null, new Uint8Array(32).fill(7), null, null],
  right: [null, null, null, new Uint8Array(32).fill(9)],
  deals: [17, 4_486_352],
};
const json = proofToJson(proof);

describe('the form of an inclusion proof', () => {
  test('JSON has the fields of the design in order, bytes as lower-case hex', () => {
    expect(JSON.stringify(json)).toBe(
      `{"pieceCid":"${proof.pieceCid}","pieceSize":1024,"batchRootCid":"${proof.batchRootCid}","root":"${ROOT}",` +
        '"selector":"Links/1/Hash/Links/0/Hash/Links/0/Hash","start":130,"end":250,"head":"0102ab","tail":"000000ff",' +
        `"left":[null,null,"${'07'.repeat(32)}",null,null],"right":[null,null,null,"${'09'.repeat(32)}"],"deals":[17,4486352]}`,
    );
    expect(proofFromJson(JSON.parse(JSON.stringify(json)))).toEqual(proof);
  });

  test('DAG-CBOR has the same fields with bytes', () => {
    const bytes = encodeProof(proof);
    expect(dagCbor.decode(bytes)).toEqual({ ...proof });
    expect(decodeProof(bytes)).toEqual(proof);
    expect(encodeProof(decodeProof(bytes))).toEqual(bytes);
  });

  test('the order of blocks is a field only when it was asked for', () => {
    const withBlocks = { ...proof, blocks: [ROOT] };
    expect(decodeProof(encodeProof(withBlocks))).toEqual(withBlocks);
    expect(proofToJson(withBlocks)).toEqual({ ...json, blocks: [ROOT] });
    expect(json).not.toHaveProperty('blocks');
  });

  test('the CID is that of the DAG-CBOR form, the same whatever form it came through', async () => {
    const bytes = encodeProof(proof);
    const expected = CID.createV1(0x71, await sha256.digest(bytes)).toString();
    expect(proofCid(bytes).toString()).toBe(expected);
    expect(proofCid(encodeProof(proofFromJson(json))).toString()).toBe(expected);
    expect(expected).toBe('bafyreigzza2ao545ihx4etu6fptw45wjmb4nwizlhbn7bys67disybhs5u');
  });

  test('a list of proofs goes round in both forms', () => {
    const list = { items: [proof, { ...proof, start: 131, deals: [] }], next: null };
    expect(decodeProofList(encodeProofList(list))).toEqual(list);
    expect(proofListFromJson(JSON.parse(JSON.stringify(proofListToJson(list))))).toEqual(list);
  });

  test.each([
    ['no map', []],
    ['an unknown field', { ...json, extra: 1 }],
    ['a missing field', { ...json, tail: undefined }],
    ['upper-case hex', { ...json, head: '0102AB' }],
    ['half a byte', { ...json, head: '0102a' }],
    ['bytes as text', { ...json, left: [null, 5] }],
    ['left that is no list', { ...json, left: {} }],
    ['a negative offset', { ...json, start: -1 }],
    ['an offset that is no whole number', { ...json, start: 1.5 }],
    ['an offset as text', { ...json, start: '130' }],
    ['a size beyond exact numbers', { ...json, pieceSize: 2 ** 54 }],
    ['a CID in another base', { ...json, root: CID.parse(ROOT).toString().toUpperCase() }],
    ['no CID', { ...json, pieceCid: 'baga' }],
    ['a deal that is no number', { ...json, deals: ['17'] }],
    ['blocks that are no texts', { ...json, blocks: [1] }],
  ])('%s is refused in JSON', (_, value) => {
    expect(() => proofFromJson(value)).toThrow(expect.objectContaining({ code: 'PROOF_INVALID' }));
  });

  test('other DAG-CBOR than its one form is refused', () => {
    const bytes = encodeProof(proof);
    const text = new TextEncoder().encode('selector');
    const swapped = dagCbor.encode({ ...proof, head: 'ab' });
    for (const bad of [bytes.subarray(1), Buffer.concat([bytes, Buffer.of(0)]), text, swapped, new Uint8Array()]) {
      expect(() => decodeProof(bad)).toThrow(expect.objectContaining({ code: 'PROOF_INVALID' }));
    }
    // Keys in another order are the same values in other bytes.
    const [first, ...rest] = Object.entries({ end: 1, tail: 2 }).map(([key, value]) => [
      dagCbor.encode(key),
      dagCbor.encode(value),
    ]);
    expect(() => decodeProof(Buffer.concat([Buffer.of(0xa2), ...rest.flat(), ...(first ?? [])]))).toThrow(/proof/);
  });
});
