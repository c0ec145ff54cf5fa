import { mkdir, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { exporter, recursive } from 'ipfs-unixfs-exporter';
import { CID } from 'multiformats/cid';
import { expect, test } from 'vitest';
import { CarBlockIterator } from '@ipld/car';
import { progressLine } from '../../src/cli/upload-progress.ts';
import { openUploadSource } from '../../src/cli/upload-source.ts';
import { upload } from '../../src/cli/upload.ts';
import type { PlannedUpload } from '../../src/client/plan-parts.ts';
import { sendPlanned } from '../../src/client/upload.ts';
import { apiFixture, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { car, header, rawBlock, sampleUpload } from '../support/car-builder.ts';
import { gather } from '../support/gather.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const MIB = 1024 * 1024;
const signal = new AbortController().signal;

/** A service that counts what is sent to it, and a folder for files. */
async function world() {
  const stack = new AsyncDisposableStack();
  const fixture = stack.use(await apiFixture());
  const folder = stack.use(await temporaryFolder());
  const posts: number[] = [];
  fixture.server.addHook('onRequest', async ({ method, headers }) => {
    if (method === 'POST') posts.push(Number(headers['content-length']));
  });
  const { url, port } = await fixture.listen();
  const put = async (name: string, bytes: string | Uint8Array) => {
    const path = join(folder.path, name);
    await writeFile(path, bytes);
    return path;
  };
  return {
    fixture,
    posts,
    port,
    put,
    folder: folder.path,
    client: { url, token: tokens.upload },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function runUpload(url: string, args: string[]): Promise<string[]> {
  const lines: string[] = [];
  const io = {
    env: {},
    print: (line: string) => void lines.push(line),
    say: () => undefined,
    isTerminal: false,
    signal,
  };
  expect(await upload.run([...args, '--url', url, '--token', tokens.upload], io)).toBe(0);
  return lines;
}

async function storedBlocks(fixture: ApiFixture): Promise<Map<string, Uint8Array>> {
  const blocks = new Map<string, Uint8Array>();
  const parts = await fixture.kysely.selectFrom('parts').selectAll().where('run_seq', 'is not', null).execute();
  for (const part of parts) {
    const run = await gather(
      fixture.store.read(part.object_key, Number(part.object_offset), Number(part.length_bytes)),
    );
    const head = header({ roots: [CID.parse('bafkqaaa')], version: 1 });
    const reader = await CarBlockIterator.fromBytes(Buffer.concat([head, ...run]));
    for await (const { cid, bytes } of reader) blocks.set(cid.toString(), bytes);
  }
  return blocks;
}

/** Files below a root by their path, read by a library that shares nothing with ours. */
async function exported(fixture: ApiFixture, root: CID): Promise<Record<string, Buffer>> {
  const blocks = await storedBlocks(fixture);
  const store = {
    async *get(cid: CID) {
      yield blocks.get(cid.toString()) ?? new Uint8Array();
    },
  };
  const files: Record<string, Buffer> = {};
  const top = await exporter(root, store);
  const entries = top.type === 'directory' ? recursive(root, store) : [top];
  for await (const found of entries) {
    const entry = await exporter(found.cid, store);
    if (entry.type !== 'file' && entry.type !== 'raw') continue;
    files[found.path.split('/').slice(1).join('/')] = Buffer.concat(await gather(entry.content()));
  }
  return files;
}

function noise(bytes: number, seed = 1): Buffer {
  const made = Buffer.alloc(bytes);
  for (let at = 0, state = seed; at + 4 <= bytes; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    made.writeUInt32LE(state, at);
  }
  return made;
}

async function rootOf(path: string): Promise<CID> {
  const source = await openUploadSource(path);
  return source.root;
}

test('a file, a folder and a CAR at once, and of what is known only the root is sent again', async () => {
  await using all = await world();
  const { fixture, client, put, posts } = all;
  const hello = await put('hello.txt', 'hello');
  const sample = sampleUpload('cli');
  const packed = await put('sample.car', sample.car);
  const tree = join(all.folder, 'tree');
  await mkdir(join(tree, 'deep', 'er'), { recursive: true });
  await mkdir(join(tree, 'empty'));
  const big = noise(2.5 * MIB);
  await put('tree/b.bin', big);
  await put('tree/deep/er/a.txt', 'a');
  const lines = await runUpload(client.url, [hello, tree, packed]);
  expect(lines.map((line) => line.split('  ')[0])).toEqual([
    rawBlock('hello').cid.toString(),
    (await rootOf(tree)).toString(),
    sample.root.toString(),
  ]);
  expect(await exported(fixture, await rootOf(tree))).toEqual({ 'b.bin': big, 'deep/er/a.txt': Buffer.from('a') });
  const states = await fixture.kysely.selectFrom('uploads').select('state').execute();
  expect(states).toEqual([{ state: 'waiting' }, { state: 'waiting' }, { state: 'waiting' }]);
  expect(posts).toHaveLength(3);
  const again = await runUpload(client.url, [hello, tree, packed, '--json']);
  expect(again.map((line) => JSON.parse(line))).toMatchObject([
    {
      cid: rawBlock('hello').cid.toString(),
      path: hello,
      outcome: 'known',
      sentBytes: posts[3],
      value: { pin: { status: 'pinned' } },
    },
    { outcome: 'known' },
    { outcome: 'known' },
  ]);
  expect(posts).toHaveLength(6);
});

test('what cannot be packed is told by name, before anything is sent', async () => {
  await using all = await world();
  await expect(runUpload(all.client.url, [join(all.folder, 'nothing')])).rejects.toMatchObject({
    code: 'FILE_UNREADABLE',
  });
  await expect(runUpload(all.client.url, [join(all.folder, 'nothing.car')])).rejects.toMatchObject({
    code: 'FILE_UNREADABLE',
  });
  const { root, blocks } = sampleUpload('two roots');
  const two = await all.put('two.car', car([root, root], blocks));
  await expect(runUpload(all.client.url, [two])).rejects.toMatchObject({ code: 'CAR_ROOTS' });
  const rootless = await all.put('rootless.car', car([root], blocks.slice(1)));
  await expect(runUpload(all.client.url, [rootless])).rejects.toMatchObject({ code: 'ROOT_NOT_IN_CAR' });
  const cut = await all.put('cut.car', car([root], blocks).subarray(0, -3));
  await expect(runUpload(all.client.url, [cut])).rejects.toMatchObject({
    code: 'CAR_TRUNCATED',
    message: expect.stringContaining(cut),
  });
  await expect(runUpload(all.client.url, [])).rejects.toMatchObject({ code: 'USAGE' });
  expect(all.posts).toEqual([]);
});

async function postPart({ url, token }: { url: string; token: string }, source: PlannedUpload, part: number) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/car' };
  const bytes = Buffer.concat(await gather(source.readPart(part)));
  expect(bytes.length).toBe(source.partBytes[part]);
  expect((await fetch(`${url}/upload`, { method: 'POST', headers, body: bytes })).status).toBe(200);
}

test('a large file goes in parts, and a later run sends only the parts that are missing', async () => {
  await using all = await world();
  const bytes = noise(7.3 * MIB);
  const path = await all.put('large.bin', bytes);
  const source = await openUploadSource(path, 2.2 * MIB);
  expect(source.partBytes.length).toBe(4);
  for (const part of [2, 0]) await postPart(all.client, source, part);
  all.posts.length = 0;
  const sent = await sendPlanned(all.client, source);
  expect(sent.outcome).toBe('sent');
  expect(new Set(all.posts)).toEqual(new Set([source.partBytes[1], source.partBytes[3]]));
  expect(all.posts).toHaveLength(2);
  expect(sent.sentBytes).toBe((source.partBytes[1] ?? 0) + (source.partBytes[3] ?? 0));
  expect(await exported(all.fixture, source.root)).toEqual({ '': bytes });
  const fresh = await openUploadSource(await all.put('other.bin', noise(5 * MIB, 7)), 2.2 * MIB);
  const done: number[] = [];
  await sendPlanned(all.client, fresh, { onProgress: ({ doneBytes }) => void done.push(doneBytes) });
  expect(done).toEqual(done.toSorted((a, b) => a - b));
  expect(done.at(-1)).toBe(fresh.partBytes.reduce((sum, count) => sum + count, 0));
  expect(all.posts.slice(2)).toEqual(fresh.partBytes);
});

/** Passes connections on to the service, and cuts the first after so many bytes. */
async function cuttingProxy(port: number, cutAfter: number) {
  let cuts = 1;
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    let seen = 0;
    near.on('data', (chunk: Buffer) => {
      seen += chunk.length;
      if (cuts > 0 && seen > cutAfter) {
        cuts -= 1;
        near.destroy();
        far.destroy();
      } else far.write(chunk);
    });
    far.pipe(near);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: own } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${own}`, [Symbol.asyncDispose]: async () => void server.close() };
}

test('a connection that breaks costs one part', async () => {
  await using all = await world();
  await using proxy = await cuttingProxy(all.port, 3.5 * MIB);
  const source = await openUploadSource(await all.put('breaks.bin', noise(6.2 * MIB, 3)), 2.2 * MIB);
  const said: string[] = [];
  const broken = {
    ...all.client,
    url: proxy.url,
    onRetry: ({ code }: { code: string }) => void said.push(code),
    wait: async () => undefined,
  };
  const sent = await sendPlanned(broken, source);
  expect(sent).toMatchObject({ outcome: 'sent', sentBytes: source.partBytes.reduce((sum, count) => sum + count, 0) });
  expect(said).toEqual(['SERVICE_UNREACHABLE']);
});

test('a file that changes while it is sent is told, and not tried again', async () => {
  await using all = await world();
  const path = await all.put('changes.bin', noise(3 * MIB, 5));
  const source = await openUploadSource(path, 1.2 * MIB);
  await writeFile(path, noise(3 * MIB, 6));
  await expect(sendPlanned(all.client, source)).rejects.toMatchObject({ code: 'FILE_CHANGED' });
});

test('progress says share, rate and time left', () => {
  const facts = { name: 'x.car', bytes: 50 * MIB, totalBytes: 200 * MIB, tookMs: 5_000 };
  expect(progressLine(facts)).toBe('x.car  25 %  50 MiB of 200 MiB  10 MiB/s  15s left');
  expect(progressLine({ ...facts, tookMs: 10 })).toBe('x.car  25 %  50 MiB of 200 MiB');
  expect(progressLine({ ...facts, bytes: 0, totalBytes: 0 })).toBe('x.car  100 %  0 B of 0 B');
});
