import { describe, expect, test } from 'vitest';
import { createClient, upload, type CarInput, type UploadProgress } from '../../src/client/client.ts';
import { apiFixture, tokens } from '../support/api-fixture.ts';
import { car, inChunks, pbNode, rawBlock, sampleUpload, type Block } from '../support/car-builder.ts';

const KIB = 1024;

/** A service that remembers the lengths of the CARs that came, and a client of it. */
async function world() {
  const stack = new AsyncDisposableStack();
  const fixture = stack.use(await apiFixture());
  const posts: number[] = [];
  fixture.server.addHook('onRequest', async ({ method, url, headers }) => {
    if (method === 'POST' && url === '/upload') posts.push(Number(headers['content-length']));
  });
  const { url } = await fixture.listen();
  const connection = { url, token: tokens.upload };
  const client = createClient(connection);
  return { fixture, posts, connection, client, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** An upload of leaves of 10 KiB, its root where the test wants it. */
function large(seed: string, leaves: number) {
  const blocks = Array.from({ length: leaves }, (_, at) => rawBlock(`${seed} ${at}`.padEnd(10 * KIB, '.')));
  const root = pbNode(blocks);
  const withRoot = (order: Block[]) => car([root.cid], order);
  return {
    root: root.cid,
    rootFirst: withRoot([root, ...blocks]),
    rootLast: withRoot([...blocks, root]),
    blocks,
    top: root,
  };
}

function asStream(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new Blob([Uint8Array.from(bytes)]).stream();
}

/** The same CAR, as everything that can be given. */
const inputs: [string, (bytes: Uint8Array) => CarInput][] = [
  ['bytes', (bytes) => bytes],
  ['a Blob', (bytes) => new Blob([Uint8Array.from(bytes)])],
  ['a File', (bytes) => new File([Uint8Array.from(bytes)], 'x.car')],
  ['a ReadableStream', asStream],
  ['an async iterable', (bytes) => inChunks(bytes, 1_000)],
  ['a function', (bytes) => () => inChunks(bytes, 1_000)],
];

describe('upload', () => {
  test('takes a CAR in every form, in parts, each within its limit, and nothing of it twice', async () => {
    await using all = await world();
    for (const [name, form] of inputs) {
      const sample = large(name, 12);
      all.posts.length = 0;
      const seen: UploadProgress[] = [];
      const onProgress = (progress: UploadProgress) => void seen.push(progress);
      const sent = await all.client.upload(form(sample.rootFirst), { partBytes: 50 * KIB, onProgress });
      expect(sent, name).toMatchObject({
        cid: sample.root.toString(),
        outcome: 'sent',
        status: { pin: { status: 'pinned' } },
      });
      expect(all.posts.length, name).toBe(3);
      expect(Math.max(...all.posts), name).toBeLessThan(52 * KIB);
      expect(sent.sentBytes, name).toBe(all.posts.reduce((sum, bytes) => sum + bytes, 0));
      const done = seen.map(({ doneBytes }) => doneBytes);
      expect(done, name).toEqual(done.toSorted((a, b) => a - b));
      expect(seen.at(-1), name).toEqual({ doneBytes: sent.sentBytes, totalBytes: sent.sentBytes });
      const again = await all.client.upload(form(sample.rootFirst), { partBytes: 50 * KIB });
      expect(again, name).toMatchObject({ outcome: 'known', sentBytes: all.posts.at(-1) });
      expect(all.posts.length, name).toBe(4);
    }
  });

  test('of what another has sent makes the caller an owner too, for the bytes of one block', async () => {
    await using all = await world();
    const sample = large('shared', 12);
    await all.client.upload(sample.rootLast);
    const other = createClient({ ...all.connection, token: tokens.upload2 });
    expect(await other.upload(sample.rootLast)).toMatchObject({ outcome: 'known' });
    expect(all.posts.at(-1)).toBeLessThan(2 * KIB);
    expect(await other.upload(asStream(sample.rootFirst))).toMatchObject({ outcome: 'known' });
    const { rows } = await all.fixture.database.pool.query<{ name: string }>(
      'select name from owners join upload_owners on owner_id = owners.id where ended_at is null order by name',
    );
    expect(rows.map(({ name }) => name)).toEqual(['other', 'service']);
  });

  test('goes on where an earlier call was left', async () => {
    await using all = await world();
    const sample = large('resumed', 20);
    const stop = new AbortController();
    const onProgress = ({ doneBytes }: UploadProgress) => doneBytes > 70 * KIB && stop.abort(new Error('closed'));
    const options = { partBytes: 50 * KIB, onProgress, signal: stop.signal };
    const file = new Blob([sample.rootLast]);
    await expect(all.client.upload(file, options)).rejects.toThrow('closed');
    expect((await all.client.check(sample.root.toString()))?.pin.status).toBe('queued');
    all.posts.length = 0;
    const seen: UploadProgress[] = [];
    const rest = await all.client.upload(file, { partBytes: 50 * KIB, onProgress: (one) => void seen.push(one) });
    expect(rest.outcome).toBe('sent');
    // Five parts: the first was delivered, the second was not.
    expect(all.posts).toHaveLength(4);
    expect(seen.at(-1)?.doneBytes).toBe(seen.at(-1)?.totalBytes);
    expect((await all.client.check(sample.root.toString()))?.pin.status).toBe('pinned');
  });

  test('of a stream needs the root in its first part, else a form that can be read twice', async () => {
    await using all = await world();
    const { rootLast, root } = large('late', 12);
    await expect(all.client.upload(asStream(rootLast), { partBytes: 50 * KIB })).rejects.toMatchObject({
      name: 'ClientError',
      code: 'ROOT_TOO_LATE',
    });
    expect(all.posts).toEqual([]);
    expect(await all.client.check(root.toString())).toBeUndefined();
    expect((await all.client.upload(asStream(rootLast))).outcome).toBe('sent');
  });

  test('says what is wrong with a CAR before anything is sent', async () => {
    await using all = await world();
    const { root, blocks } = sampleUpload('wrong');
    const wrong: [string, Uint8Array][] = [
      ['CAR_ROOTS', car([root, root], blocks)],
      ['CAR_ROOTS', car([], blocks)],
      ['ROOT_NOT_IN_CAR', car([root], blocks.slice(1))],
      ['CAR_TRUNCATED', car([root], blocks).subarray(0, -3)],
      ['CAR_HEADER_INVALID', Buffer.alloc(200, 0x61)],
    ];
    for (const [code, bytes] of wrong) {
      for (const [name, form] of inputs) {
        await expect(all.client.upload(form(bytes)), name).rejects.toMatchObject({ name: 'ClientError', code });
      }
    }
    expect(all.posts).toEqual([]);
  });

  test('passes on what the service says, and what its blocks lack', async () => {
    await using all = await world();
    const sample = sampleUpload('refused');
    const stranger = createClient({ ...all.connection, token: 'another' });
    await expect(stranger.upload(sample.car)).rejects.toMatchObject({ code: 'UNAUTHORIZED', status: 401 });
    // The answer comes long before the body is sent.
    const refused = stranger.upload(large('refused early', 1_500).rootFirst);
    await expect(refused).rejects.toMatchObject({ code: 'UNAUTHORIZED', status: 401 });
    const reader = createClient({ ...all.connection, token: tokens.read });
    await expect(reader.upload(sample.car)).rejects.toMatchObject({ code: 'FORBIDDEN', status: 403 });
    const lacking = car([sample.root], sample.blocks.slice(0, 2));
    await expect(upload(all.connection, lacking)).rejects.toMatchObject({ code: 'UPLOAD_INCOMPLETE' });
    await expect(upload(all.connection, asStream(lacking))).rejects.toMatchObject({ code: 'UPLOAD_INCOMPLETE' });
    const damaged = Buffer.from(sample.car);
    damaged.writeUInt8(damaged.readUInt8(damaged.length - 1) ^ 1, damaged.length - 1);
    await expect(upload(all.connection, damaged)).rejects.toMatchObject({ code: 'HASH_MISMATCH', status: 400 });
  });

  test('of a file that cannot be read to its end is not tried again', async () => {
    await using all = await world();
    const { rootFirst } = large('torn', 12);
    let opened = 0;
    async function* torn() {
      opened += 1;
      yield* inChunks(rootFirst, 1_000);
      if (opened > 2) throw new Error('the disk is gone');
    }
    await expect(all.client.upload(() => torn())).rejects.toThrow('the disk is gone');
    expect(opened).toBe(3);
  });
});

test('checkMany answers for each CID in its place, known, unknown or none, over as many requests as it takes', async () => {
  await using all = await world();
  const sample = sampleUpload('one of many');
  await all.client.upload(sample.car);
  const unknown = rawBlock('unknown').cid.toString();
  const asked = [
    sample.root.toV0().toString(),
    unknown,
    'nonsense',
    ...Array<string>(1_000).fill(sample.root.toString()),
  ];
  const found = await all.client.checkMany(asked);
  expect(found.map(({ cid }) => cid)).toEqual(asked);
  expect(found[0]).toMatchObject({ status: { pin: { status: 'pinned', cid: sample.root.toString() } } });
  expect(found[1]).toEqual({
    cid: unknown,
    status: undefined,
    error: expect.objectContaining({ message: 'NFT not found' }),
  });
  expect(found[2]).toMatchObject({ status: undefined, error: { code: 'ERROR_INVALID_CID' } });
  expect(found.slice(3).every(({ status }) => status?.pin.status === 'pinned')).toBe(true);
  expect(await all.client.checkMany([])).toEqual([]);
});
