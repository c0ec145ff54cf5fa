import { describe, expect, test } from 'vitest';
import { proof, verify, type Connection } from '../../src/client/client.ts';
import { proofListToJson } from '../../src/filecoin/inclusion-proof.ts';
import { rawBlock, sampleUpload } from '../support/car-builder.ts';
import { blockList, provenUploads } from '../support/proven-upload.ts';

const [first, second] = await provenUploads([sampleUpload('first').blocks, sampleUpload('second').blocks], [7]);
if (first === undefined || second === undefined) throw new Error('no uploads');
const { car: bytes, proof: whole, blocks } = first;

/** A service that gives these answers to these paths, and remembers what it was asked. */
function scripted(answers: Record<string, Response>) {
  const asked: string[] = [];
  const connection: Connection = {
    url: 'https://lading.example',
    fetch: async (input, init) => {
      const { pathname, search } = new URL(new Request(input, init).url);
      asked.push(search);
      return answers[pathname + search]?.clone() ?? new Response(null, { status: 404 });
    },
  };
  return { asked, connection };
}

function problem(status: number, code: string): Response {
  return Response.json({ type: 'about:blank', title: '', status, detail: code, code }, { status });
}

describe('the proofs of an upload', () => {
  const path = `/uploads/${whole.root}/proof`;

  test('are read page by page, for a CID of either version', async () => {
    const { connection, asked } = scripted({
      [`${path}?blocks=1`]: Response.json(proofListToJson({ items: [whole], next: 'a b&c' })),
      [`${path}?blocks=1&cursor=a%20b%26c`]: Response.json(proofListToJson({ items: [second.proof], next: null })),
    });
    const v0 = blocks[0]?.cid.toV0().toString() ?? '';
    expect(await proof(connection, v0)).toEqual([whole, second.proof]);
    expect(asked).toEqual(['?blocks=1', '?blocks=1&cursor=a%20b%26c']);
  });

  test('come without the order of the blocks where these are too many to list', async () => {
    const { connection, asked } = scripted({
      [`${path}?blocks=1`]: problem(413, 'TOO_MANY_BLOCKS'),
      [`${path}?blocks=0`]: Response.json(proofListToJson({ items: [whole], next: null })),
    });
    expect(await proof(connection, whole.root)).toEqual([whole]);
    expect(asked).toEqual(['?blocks=1', '?blocks=0']);
  });

  test('are refused with the code of the service, and what is no proof or no CID with ours', async () => {
    const early = scripted({ [`${path}?blocks=1`]: problem(409, 'NOT_SEALED') });
    await expect(proof(early.connection, whole.root)).rejects.toMatchObject({ code: 'NOT_SEALED', status: 409 });
    const strange = scripted({ [`${path}?blocks=1`]: Response.json({ items: [{}], next: null }) });
    await expect(proof(strange.connection, whole.root)).rejects.toMatchObject({
      name: 'ClientError',
      code: 'PROOF_INVALID',
    });
    await expect(proof(early.connection, 'nonsense')).rejects.toMatchObject({
      name: 'ClientError',
      code: 'INVALID_CID',
    });
  });
});

describe('verify', () => {
  const listed = { ...whole, blocks: blockList(blocks) };
  const { connection } = scripted({
    [`/uploads/${whole.root}/proof?blocks=1`]: Response.json(proofListToJson({ items: [listed], next: null })),
  });

  /** A node that knows deal 7 in this state. */
  function chain(state: { SectorStartEpoch: number; SlashEpoch: number }) {
    const call: typeof fetch = async (input, init) => {
      const { method } = (await new Request(input, init).json()) as { method: string };
      const { pieceCid, pieceSize, batchRootCid } = whole;
      const piece = { PieceCID: { '/': pieceCid }, PieceSize: pieceSize, Label: batchRootCid };
      const Proposal = { ...piece, Provider: 'f01000', StartEpoch: 10, EndEpoch: 900 };
      return Response.json({ result: method === 'Filecoin.ChainHead' ? { Height: 100 } : { Proposal, State: state } });
    };
    return { url: 'https://node.example', fetch: call };
  }

  test('asks for the proofs, and says nothing of deals unless a node is named', async () => {
    const report = await verify(connection, new Blob([Uint8Array.from(bytes)]));
    expect(report).toMatchObject({ verified: true, root: whole.root, evidence: [listed], uncoveredBlocks: 0 });
    expect(report).not.toHaveProperty('deals');
  });

  test('with a node needs an active deal for each piece', async () => {
    const active = await verify(connection, bytes, { chain: chain({ SectorStartEpoch: 20, SlashEpoch: -1 }) });
    expect(active).toMatchObject({ verified: true, deals: [[{ verified: true, dealId: 7, state: 'active' }]] });
    const slashed = await verify(connection, bytes, { chain: chain({ SectorStartEpoch: 20, SlashEpoch: 50 }) });
    expect(slashed).toMatchObject({ verified: false, deals: [[{ state: 'slashed' }]] });
    const none = { ...whole, deals: [] };
    const unnamed = await verify(connection, bytes, {
      proofs: [none],
      chain: chain({ SectorStartEpoch: 20, SlashEpoch: -1 }),
    });
    expect(unnamed).toMatchObject({ verified: false, deals: [[]] });
  });

  test('refuses what is no CAR, and finds a block that is not what was proven', async () => {
    await expect(verify(connection, Buffer.alloc(200, 0x61))).rejects.toMatchObject({
      name: 'ClientError',
      code: 'CAR_HEADER_INVALID',
    });
    const damaged = Uint8Array.from(bytes);
    damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
    expect(await verify(connection, damaged)).toMatchObject({ verified: false });
    const another = rawBlock('another').cid.toString();
    expect(await verify(connection, bytes, { proofs: [{ ...whole, root: another }] })).toMatchObject({
      verified: false,
    });
  });
});
