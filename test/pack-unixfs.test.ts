import { exporter } from 'ipfs-unixfs-exporter';
import type { CID } from 'multiformats/cid';
import { describe, expect, test } from 'vitest';
import { packTree, packUnixfs } from '../src/pack-unixfs.ts';

const utf8 = new TextEncoder();

function file(path: string, text: string) {
  return { path, content: [utf8.encode(text)] };
}

/** Keeps what is handed over, as often as it is. */
function keeper() {
  const blocks: [cid: string, bytes: Uint8Array][] = [];
  const take = async (cid: CID, bytes: Uint8Array) => void blocks.push([cid.toString(), bytes]);
  const store = new Map<string, Uint8Array>();
  const get = async function* (cid: CID) {
    for (const [key, bytes] of blocks) store.set(key, bytes);
    yield store.get(cid.toString()) ?? expect.fail(`${cid} was not handed over`);
  };
  return { blocks, take, reader: { get } };
}

describe('packing as UnixFS', () => {
  test('ten thousand small files hold up nobody else', async () => {
    const { take } = keeper();
    const many = Array.from({ length: 10_000 }, (_, at) => file(`${at}`, `${at}`));
    let turns = 0;
    const others = setInterval(() => (turns += 1), 1);
    await packTree(many, take, { wrap: true });
    clearInterval(others);
    expect(turns).toBeGreaterThan(20);
  });

  test('an independent reader finds every file where its path says', async () => {
    const { take, reader } = keeper();
    const many = Array.from({ length: 1_100 }, (_, at) => file(`many/${at}.txt`, `file ${at}`));
    const root = await packUnixfs([file('a/b/c.txt', 'deep'), file('d.txt', ''), ...many], take, { wrap: true });
    for (const [path, text] of [
      ['a/b/c.txt', 'deep'],
      ['d.txt', ''],
      ['many/1099.txt', 'file 1099'],
    ] as const) {
      const entry = await exporter(`${root}/${path}`, reader);
      if (entry.type !== 'file' && entry.type !== 'raw') expect.fail(`${path} is no file`);
      const chunks: Uint8Array[] = [];
      for await (const chunk of entry.content()) chunks.push(chunk);
      expect([path, Buffer.concat(chunks).toString()]).toEqual([path, text]);
    }
  });

  test('an empty directory is one, and what has one first name is what it names', async () => {
    const { take } = keeper();
    const empty = 'bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354';
    expect((await packUnixfs([{ path: 'empty' }], take))?.toString()).toBe(empty);
    const named = await packUnixfs([file('top/a', '1'), { path: 'top/b' }], take);
    const bare = await packUnixfs([file('a', '1'), { path: 'b' }], take, { wrap: true });
    expect(named?.toString()).toBe(bare?.toString());
    expect(await packUnixfs([], take)).toBeUndefined();
  });

  test('a directory may be named beside its files, in any order', async () => {
    const { take } = keeper();
    const roots = await Promise.all(
      [[{ path: 'a' }, file('a/b', '1')], [file('a/b', '1'), { path: 'a' }], [file('a/b', '1')]].map((files) =>
        packUnixfs(files, take, { wrap: true }),
      ),
    );
    expect(new Set(roots.map(String)).size).toBe(1);
  });

  test('hands each block over once, the root last', async () => {
    const { take, blocks } = keeper();
    const root = await packUnixfs([file('a', 'twin'), file('b', 'twin')], take, { wrap: true });
    expect(blocks.map(([cid]) => cid)).toHaveLength(2);
    expect(blocks.at(-1)?.[0]).toBe(root?.toString());
  });

  test.each([
    [{ maxEntries: 3 }, ['a/b', 'a/c', 'a/d']],
    [{ maxNameBytes: 8 }, ['abcd', 'efghi']],
  ])('more than %o is told', async (limits, paths) => {
    const { take } = keeper();
    const packed = packTree(
      paths.map((path) => file(path, path)),
      take,
      { wrap: true, ...limits },
    );
    await expect(packed).rejects.toMatchObject({ code: 'TOO_MANY_FILES' });
  });

  test.each(['..', 'a/../b', '', '.', '\\'])('the path %o is refused', async (path) => {
    const packed = packTree([file(path, 'x')], async () => undefined, { wrap: true });
    await expect(packed).rejects.toMatchObject({ code: 'PATH_INVALID' });
  });
});
