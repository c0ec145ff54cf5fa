import { CarBlockIterator } from '@ipld/car';
import { exporter, recursive } from 'ipfs-unixfs-exporter';
import { CID } from 'multiformats/cid';
import { sha256 } from 'multiformats/hashes/sha2';
import { describe, expect, it } from 'vitest';
import { LARGE_FILE_BYTES, MANY_FILES, sampleContents } from '../../src/demo/sample-catalogue.ts';
import { packSamples, type Sample } from '../../src/demo/sample-files.ts';

async function list(options: { seed: string; count: number }): Promise<Sample[]> {
  const samples: Sample[] = [];
  for await (const sample of packSamples(options)) samples.push(sample);
  return samples;
}

interface ReadCar {
  roots: string[];
  order: string[];
  blocks: Map<string, Uint8Array>;
  bytes: number;
}

async function readCar(sample: Sample): Promise<ReadCar> {
  let bytes = 0;
  const counted = async function* () {
    for await (const chunk of sample.car) {
      bytes += chunk.length;
      yield chunk;
    }
  };
  const blocks = new Map<string, Uint8Array>();
  const order: string[] = [];
  const reader = await CarBlockIterator.fromIterable(counted());
  for await (const block of reader) {
    const digest = await sha256.digest(block.bytes);
    expect(digest.digest).toEqual(block.cid.multihash.digest);
    blocks.set(block.cid.toString(), block.bytes);
    order.push(block.cid.toString());
  }
  return { roots: (await reader.getRoots()).map(String), order, blocks, bytes };
}

function blockstoreOf(blocks: Map<string, Uint8Array>) {
  return {
    async *get(cid: CID) {
      const bytes = blocks.get(cid.toString());
      if (bytes === undefined) throw new Error(`block ${cid} is not in the CAR`);
      yield bytes;
    },
  };
}

/** Every file of the DAG by its path below the root, read by the exporter, which shares nothing with the importer's CAR. */
async function readFiles(sample: Sample, blocks: Map<string, Uint8Array>): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const rootEntry = await exporter(sample.root, blockstoreOf(blocks));
  const entries = rootEntry.type === 'directory' ? recursive(sample.root, blockstoreOf(blocks)) : [rootEntry];
  for await (const found of entries) {
    const entry = await exporter(found.cid, blockstoreOf(blocks));
    if (entry.type !== 'file' && entry.type !== 'raw') continue;
    const chunks: Uint8Array[] = [];
    for await (const chunk of entry.content()) chunks.push(chunk);
    const path = found.path === sample.root.toString() ? '' : found.path.slice(sample.root.toString().length + 1);
    files.set(path, Buffer.concat(chunks));
  }
  return files;
}

describe('packSamples', () => {
  it('packs 24 varied uploads as CARs that hold exactly their files', async () => {
    const samples = await list({ seed: 'a', count: 24 });
    const contents = sampleContents('a', 24);
    expect(new Set(samples.map(({ root }) => root.toString())).size).toBe(24);
    for (const [i, sample] of samples.entries()) {
      const car = await readCar(sample);
      expect(car.roots).toEqual([sample.root.toString()]);
      expect(car.bytes).toBe(sample.bytes);
      expect(new Set(car.order).size).toBe(car.order.length);
      const files = await readFiles(sample, car.blocks);
      const expected = new Map(contents[i]?.files.map((file) => [file.path, Buffer.concat([...file.content()])]));
      expect([...files.keys()].sort()).toEqual([...expected.keys()].sort());
      for (const [path, bytes] of expected) expect(files.get(path)?.equals(bytes), `${sample.name}/${path}`).toBe(true);
    }
  }, 30_000);

  it('uses raw leaves of 256 KiB and CIDv1', async () => {
    const samples = await list({ seed: 'leaf', count: 19 });
    const sample = samples.find(({ name }) => name === 'chunk-and-one.bin');
    const blocks = [...(await readCar(sample ?? expect.fail('no such sample'))).blocks];
    expect(blocks.map(([cid, bytes]) => [CID.parse(cid).version, CID.parse(cid).code, bytes.length])).toEqual([
      [1, 0x55, 262_144],
      [1, 0x55, 1],
      [1, 0x70, expect.any(Number)],
    ]);
  });

  it('holds one file of 64 MiB, a directory of hundreds, and nested directories', () => {
    const contents = sampleContents('shape', 24);
    const sizes = contents.map(({ files }) =>
      files.reduce((sum, file) => sum + [...file.content()].reduce((total, chunk) => total + chunk.length, 0), 0),
    );
    expect(Math.max(...sizes)).toBe(LARGE_FILE_BYTES);
    expect(LARGE_FILE_BYTES).toBeGreaterThanOrEqual(64 * 1024 * 1024);
    expect(contents.some(({ files }) => files.length >= MANY_FILES)).toBe(true);
    expect(contents.some(({ files }) => files.some(({ path }) => path.split('/').length > 8))).toBe(true);
  });

  it('makes the same CAR from the same seed, and another from another', async () => {
    const bytesOf = async (sample: Sample | undefined) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of sample?.car ?? []) chunks.push(chunk);
      return Buffer.concat(chunks);
    };
    const [first, again, other] = [
      await list({ seed: 'x', count: 8 }),
      await list({ seed: 'x', count: 8 }),
      await list({ seed: 'y', count: 8 }),
    ];
    for (const [i, sample] of first.entries()) {
      const bytes = await bytesOf(sample);
      expect(bytes.equals(await bytesOf(again[i]))).toBe(true);
      expect(bytes.equals(await bytesOf(sample))).toBe(true);
      expect(bytes.equals(await bytesOf(other[i]))).toBe(false);
    }
  });

  it('goes on beyond the basic set', async () => {
    const names = sampleContents('more', 40).map(({ name }) => name);
    expect(new Set(names).size).toBe(40);
  });
});
