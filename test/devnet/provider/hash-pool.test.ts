import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CarWriter } from '@ipld/car';
import { Piece } from '@web3-storage/data-segment';
import { CID } from 'multiformats/cid';
import { sha256 } from 'multiformats/hashes/sha2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HashPool } from '../../../src/devnet/provider/hash-pool.ts';
import { padCommitment } from '../../../src/devnet/provider/piece-commitment.ts';
import { randomBytes } from '../../../src/demo/sample-content.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

async function carOf(blocks: Uint8Array[]): Promise<Uint8Array> {
  const entries = await Promise.all(
    blocks.map(async (bytes) => ({ cid: CID.createV1(0x55, await sha256.digest(bytes)), bytes })),
  );
  const { writer, out } = CarWriter.create(entries.map(({ cid }) => cid).slice(0, 1));
  const writing = (async () => {
    for (const entry of entries) await writer.put(entry);
    await writer.close();
  })();
  const chunks: Uint8Array[] = [];
  for await (const chunk of out) chunks.push(chunk);
  await writing;
  return Buffer.concat(chunks);
}

describe('HashPool', () => {
  let pool: HashPool;
  beforeAll(() => {
    pool = new HashPool();
  });
  afterAll(() => pool.close());

  it('computes commitments that an independent whole-payload oracle gives, below and above 1 MiB', async () => {
    await using folder = await temporaryFolder();
    const sizes = [10, 5_000, 1_048_400, 1_200_000, 3_000_001];
    const reports = sizes.map(async (size) => {
      const car = await carOf([randomBytes('hash', String(size), size)]);
      const path = join(folder.path, String(size));
      await writeFile(path, car);
      const { root, paddedBytes, headerError, carError } = await pool.hash(path);
      const expected = Piece.fromPayload(car);
      expect({ headerError, carError, paddedBytes }).toEqual({
        headerError: '',
        carError: '',
        paddedBytes: 32n << BigInt(expected.height),
      });
      expect(Buffer.from(root).toString('hex')).toBe(Buffer.from(expected.root).toString('hex'));
    });
    await Promise.all(reports);
  });

  it('says at which end a file is no CAR', async () => {
    await using folder = await temporaryFolder();
    const car = await carOf([randomBytes('a', 'a', 2_000), randomBytes('a', 'b', 2_000)]);
    const junk = join(folder.path, 'junk');
    await writeFile(junk, randomBytes('junk', 'x', 2_000));
    const cut = join(folder.path, 'cut');
    await writeFile(cut, car.subarray(0, -1));
    expect((await pool.hash(junk)).headerError).not.toBe('');
    expect(await pool.hash(cut)).toMatchObject({ headerError: '', carError: expect.stringMatching(/./) });
  });

  it('rejects for a file that is not there, and goes on', async () => {
    await expect(pool.hash('/nowhere/at/all')).rejects.toThrow('ENOENT');
  });

  it('rejects what is left when it closes', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'piece');
    await writeFile(path, randomBytes('z', 'z', 4_000_000));
    const closing = new HashPool();
    const results = Promise.allSettled([1, 2, 3].map(() => closing.hash(path)));
    await closing.close();
    expect((await results).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    await expect(closing.hash(path)).rejects.toThrow('closed');
  });
});

describe('padCommitment', () => {
  it('equals the commitment of the same bytes with zeros behind', () => {
    const payload = new Uint8Array((1024 * 127) / 128).map((_, i) => i % 251);
    const small = Piece.fromPayload(payload);
    const padded = new Uint8Array((8192 * 127) / 128);
    padded.set(payload);
    const large = Piece.fromPayload(padded);
    const root = padCommitment({ root: small.root, paddedBytes: 1024n }, 8192n);
    expect(Buffer.from(root).toString('hex')).toBe(Buffer.from(large.root).toString('hex'));
    expect(padCommitment({ root: small.root, paddedBytes: 1024n }, 1024n)).toEqual(small.root);
  });
});
