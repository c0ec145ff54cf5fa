import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { isInstalled, loadNftStorage, type NftStorage } from './nft-storage.ts';

type Library = Awaited<ReturnType<typeof loadNftStorage>>;

const MIB = 1024 * 1024;
const limits = { maxUploadBytes: 100n * BigInt(MIB) };

describe.skipIf(!isInstalled)('the nft.storage client, unmodified', () => {
  let library: Library;
  beforeAll(async () => {
    library = await loadNftStorage();
  });

  async function clientOf(fixture: ApiFixture, token: string = tokens.upload): Promise<NftStorage> {
    const endpoint = new URL((await fixture.listen()).url);
    return new library.NFTStorage({ token, endpoint });
  }

  test('storeBlob, then check, status, delete', async () => {
    await using fixture = await apiFixture();
    const client = await clientOf(fixture);
    const cid = await client.storeBlob(new library.Blob(['hello world']));
    expect(cid).toBe('bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e');
    expect(await client.check(cid)).toEqual({ cid, deals: [], pin: expect.objectContaining({ status: 'pinned' }) });
    const status = await client.status(cid);
    expect(status).toMatchObject({
      cid,
      size: 11,
      deals: [],
      pin: { cid, status: 'pinned', created: expect.any(Date) },
    });
    expect(status.created.toISOString()).toMatch(/^2024-05-01T/);
    await client.delete(cid);
    await expect(client.status(cid)).rejects.toThrow('NFT not found');
    await expect(client.check(cid)).rejects.toThrow('NFT not found');
    await expect(client.delete(cid)).rejects.toThrow('NFT not found');
  });

  test('store: a token with its image and its files', async () => {
    await using fixture = await apiFixture();
    const client = await clientOf(fixture);
    const { ipnft, url } = await client.store({
      name: 'a token',
      description: 'with an image',
      image: new library.File([randomBytes(700_000)], 'image.png', { type: 'image/png' }),
      properties: { file: new library.File(['text'], 'read me.txt') },
    });
    expect(url).toBe(`ipfs://${ipnft}/metadata.json`);
    expect(await client.check(ipnft)).toMatchObject({ pin: { status: 'pinned' } });
  });

  test('storeDirectory: more files than one block of a directory holds', async () => {
    await using fixture = await apiFixture();
    const client = await clientOf(fixture);
    const files = Array.from({ length: 1_200 }, (_, at) => new library.File([`metadata ${at}`], `many/${at}.json`));
    const cid = await client.storeDirectory([...files, new library.File(['ü'], 'ünï/"code".txt')]);
    expect(await client.check(cid)).toMatchObject({ pin: { status: 'pinned' } });
  });

  test('storeCar: a CAR that is split is one upload, whole', async () => {
    await using fixture = await apiFixture({ limits });
    const client = await clientOf(fixture);
    const { cid, car } = await library.NFTStorage.encodeBlob(new library.Blob([randomBytes(20 * MIB)]));
    const sent: number[] = [];
    const stored = await client.storeCar(car, { maxChunkSize: 3 * MIB, onStoredChunk: (bytes) => sent.push(bytes) });
    expect(stored).toBe(cid.toString());
    expect(sent.length).toBeGreaterThan(5);
    expect(await client.status(stored)).toMatchObject({ pin: { status: 'pinned' }, deals: [] });
    expect((await client.status(stored)).size).toBeGreaterThanOrEqual(20 * MIB);
  });

  test('a wrong token is told and not tried again', async () => {
    await using fixture = await apiFixture();
    const client = await clientOf(fixture, 'not a token');
    await expect(client.storeBlob(new library.Blob(['x']))).rejects.toThrow(/token/);
  });

  describe('what is sent raw has the CID that the client gives it', () => {
    async function send(
      fixture: ApiFixture,
      body: Uint8Array<ArrayBuffer> | FormData,
      headers: Record<string, string> = {},
    ) {
      const { url } = await fixture.listen();
      const response = await fetch(`${url}/upload`, {
        method: 'POST',
        body,
        headers: { ...bearer(tokens.upload), ...headers },
      });
      return (await response.json()) as { ok: boolean; value: { cid: string; pin: { status: string } } };
    }

    test.each([1, 262_144, 262_145, 174 * 262_144, 174 * 262_144 + 1])('a file of %i bytes', async (bytes) => {
      await using fixture = await apiFixture({ limits });
      const file = randomBytes(bytes);
      const { cid } = await library.NFTStorage.encodeBlob(new library.Blob([file]));
      const answer = await send(fixture, Uint8Array.from(file), { 'content-type': 'image/png' });
      expect(answer).toMatchObject({ ok: true, value: { cid: cid.toString(), pin: { status: 'pinned' } } });
    });

    test.each([2, 999, 1_000, 1_300])('a directory of %i files and some below', async (count) => {
      await using fixture = await apiFixture({ limits });
      const named = Array.from({ length: count }, (_, at) => [`${at} ü"%.txt`, `file ${at}`] as const);
      const all = [...named, ['below/a/empty', ''], ['below/large', 'x'.repeat(600_000)], ['/rooted', 'r']] as const;
      const { cid } = await library.NFTStorage.encodeDirectory(
        all.map(([name, text]) => new library.File([text], name)),
      );
      const form = new FormData();
      for (const [name, text] of all) form.append('file', new File([text], name));
      expect(await send(fixture, form)).toMatchObject({ ok: true, value: { cid: cid.toString() } });
    });
  });
});
