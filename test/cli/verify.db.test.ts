import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Io } from '../../src/terminal.ts';
import { verify } from '../../src/cli/verify.ts';
import { decodeProofList, encodeProof } from '../../src/filecoin/inclusion-proof.ts';
import { apiFixture, bearer, tokens } from '../support/api-fixture.ts';
import { car, sampleUpload } from '../support/car-builder.ts';
import { sealedUploads } from '../support/sealed-uploads.ts';
import { BATCH_ROOT, seedDeal } from '../support/seed-rows.ts';
import { sendJson, serveRpc } from '../support/rpc-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

function recordedIo(): Io & { lines: string[] } {
  const lines: string[] = [];
  const { signal } = new AbortController();
  return { env: {}, lines, print: (line) => lines.push(line), say: () => undefined, isTerminal: false, signal };
}

async function run(args: string[]) {
  const io = recordedIo();
  const code = await verify.run(args, io);
  return { code, text: io.lines.join('\n') };
}

/** A service with one sealed upload and its active deal, and the upload's CAR as a file. */
async function provenFile() {
  const stack = new AsyncDisposableStack();
  const fixture = stack.use(await apiFixture());
  const folder = stack.use(await temporaryFolder());
  const sample = sampleUpload('one', 20);
  const sealed = await sealedUploads(fixture, [sampleUpload('before', 3), sample]);
  await seedDeal(fixture.kysely, {
    aggregateId: sealed.id,
    slot: 0,
    provider: 'f01000',
    state: 'active',
    chainDealId: 42n,
  });
  const file = join(folder.path, 'upload.car');
  await writeFile(file, sample.car);
  const { url } = await fixture.listen();
  const args = ['--url', url, '--token', tokens.read];
  return {
    ...sealed,
    fixture,
    sample,
    folder: folder.path,
    file,
    args,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** A Lotus node that knows deal 42 of this piece. */
async function chainWith(piece: { pieceCid: string; pieceSize: number }) {
  return serveRpc(({ method, params: [dealId] }, response) => {
    const PieceCID = { '/': piece.pieceCid };
    const Proposal = {
      PieceCID,
      PieceSize: piece.pieceSize,
      Provider: 'f01000',
      Label: BATCH_ROOT,
      StartEpoch: 10,
      EndEpoch: 900,
    };
    const deal = { Proposal, State: { SectorNumber: 1, SectorStartEpoch: 9, SlashEpoch: -1 } };
    const error = { code: 1, message: `deal ${dealId} not found` };
    if (method === 'Filecoin.ChainHead') sendJson(response, { jsonrpc: '2.0', id: 1, result: { Height: 100 } });
    else sendJson(response, { jsonrpc: '2.0', id: 1, ...(dealId === 42 ? { result: deal } : { error }) });
  });
}

describe('lading verify', () => {
  test('says what the proof of the service proves, and what nothing has looked at', async () => {
    await using world = await provenFile();
    const { code, text } = await run([world.file, ...world.args]);
    expect(code).toBe(0);
    expect(text).toContain(`proven: all 21 blocks of ${world.sample.root} lie in the piece ${world.pieceCid}`);
    expect(text).toContain('not checked: whether a deal holds the piece (the proof names 42); give --rpc URL');
    expect(text).toContain(`not checked: the path from the batch root ${BATCH_ROOT}`);
  });

  test('with a node of the chain, that a deal is active', async () => {
    await using world = await provenFile();
    await using chain = await chainWith(world);
    const { code, text } = await run([world.file, ...world.args, '--rpc', chain.url]);
    expect(code).toBe(0);
    expect(text).toContain('on chain: deal 42 with f01000 for this piece is active, epochs 10 to 900, its label names');
    await using other = await chainWith({ ...world, pieceSize: world.pieceSize * 2 });
    const refused = await run([world.file, ...world.args, '--rpc', other.url]);
    expect(refused.code).toBe(1);
    expect(refused.text).toContain('NOT proven: deal 42');
  });

  test('from a file, in either form, as the service gave it or one proof alone', async () => {
    await using world = await provenFile();
    const ask = async (accept: string) => {
      const headers = { ...bearer(tokens.read), accept };
      return (await world.fixture.server.inject({ url: `/uploads/${world.sample.root}/proof`, headers })).rawPayload;
    };
    const cbor = await ask('application/vnd.ipld.dag-cbor');
    const [proof] = decodeProofList(cbor).items;
    if (proof === undefined) throw new Error('no proof');
    const forms = [cbor, await ask('application/json'), encodeProof(proof)];
    for (const [at, bytes] of forms.entries()) {
      const path = join(world.folder, `proof-${at}`);
      await writeFile(path, bytes);
      const { code, text } = await run([world.file, '--proof', path, '--json']);
      expect(code).toBe(0);
      const { pieceCid, sample } = world;
      expect(JSON.parse(text)).toMatchObject({
        verified: true,
        root: sample.root.toString(),
        proofs: [{ verified: true, pieceCid }],
      });
    }
  });

  test('a CAR that is not what was proven fails, and so does one in which a block is damaged', async () => {
    await using world = await provenFile();
    const { blocks, root } = world.sample;
    await writeFile(world.file, car([root], blocks.toReversed()));
    expect((await run([world.file, ...world.args])).code).toBe(0);
    await writeFile(world.file, car([root], blocks.slice(0, -1)));
    const missing = await run([world.file, ...world.args]);
    expect([missing.code, missing.text]).toEqual([1, expect.stringContaining('BLOCK_MISSING')]);
    const damaged = Buffer.from(world.sample.car);
    damaged.writeUInt8(damaged.readUInt8(damaged.length - 1) ^ 1, damaged.length - 1);
    await writeFile(world.file, damaged);
    const broken = await run([world.file, ...world.args]);
    expect([broken.code, broken.text]).toEqual([
      1,
      expect.stringContaining('NOT proven: proof 1: the bytes do not hash to'),
    ]);
  });

  test('files that cannot be read are the caller’s fault', async () => {
    await using world = await provenFile();
    await expect(run([join(world.folder, 'none.car')])).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
    await expect(run([world.file, '--proof', join(world.folder, 'none')])).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
    });
    await expect(run([world.file, '--proof', world.file])).rejects.toMatchObject({ code: 'PROOF_INVALID' });
    await expect(run([])).rejects.toMatchObject({ code: 'USAGE' });
  });
});
