import { createReadStream, createWriteStream } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expect, test } from 'vitest';
import { header, pbNode, rawBlock, section, type Block } from '../../support/car-builder.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { pin, setUp, show } from './fetch-fixture.ts';

/** PIN_BLOCKS=1000000 is what the issue asks for; this many are enough to leave memory for files on the way. */
const LEAVES = Number(process.env['PIN_BLOCKS'] ?? 30_000);
const FAN = 174;

const leaf = (n: number) => rawBlock(`block ${n}`);

function groups<T>(items: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(items.length / FAN) }, (_, at) => items.slice(at * FAN, at * FAN + FAN));
}

/** A tree of tiny blocks, its leaves made anew when they are written: none of it but the inner nodes is in memory. */
function* treeCar(): Generator<Buffer, undefined> {
  const numbers = groups(Array.from({ length: LEAVES }, (_, n) => n));
  const bottom = numbers.map((group) => pbNode(group.map((n) => leaf(n))));
  const middle = groups(bottom).map((nodes) => ({ node: pbNode(nodes), nodes }));
  const root = pbNode(middle.map(({ node }) => node));
  yield header({ roots: [root.cid], version: 1 });
  yield section(root);
  let at = 0;
  for (const { node, nodes } of middle) {
    yield section(node);
    for (const one of nodes) {
      yield Buffer.concat([section(one), ...(numbers[at] ?? []).map((n) => section(leaf(n)))]);
      at += 1;
    }
  }
}

function rootOf(): Block {
  const numbers = groups(Array.from({ length: LEAVES }, (_, n) => n));
  const bottom = numbers.map((group) => pbNode(group.map((n) => leaf(n))));
  return pbNode(groups(bottom).map((nodes) => pbNode(nodes)));
}

test(`${LEAVES} tiny blocks`, async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, 'many.car');
  await pipeline(Readable.from(treeCar()), createWriteStream(file));
  const server = createServer((_request, response) => createReadStream(file).pipe(response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await using setting = await setUp(
      { maxUploadBytes: 2n ** 38n },
      { limits: { maxBlocks: 64_000_000, maxUploadBytes: 2n ** 38n } },
    );
    const root = rootOf().cid.toString();
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const id = await pin(setting.fixture, root, [url]);
    let peak = 0;
    const look = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 100);
    const before = process.memoryUsage().rss;
    const begun = performance.now();
    await setting.run(root);
    clearInterval(look);
    const seconds = (performance.now() - begun) / 1_000;
    const mib = (bytes: number) => Math.round(bytes / 2 ** 20);
    console.log(`${LEAVES} leaves: ${seconds.toFixed(1)} s, RSS ${mib(before)} MiB before, ${mib(peak)} MiB at most`);
    expect(await show(setting.fixture, id)).toEqual({ status: 'pinned', details: '' });
    const { block_count: blocks } = await setting.fixture.kysely
      .selectFrom('uploads')
      .select('block_count')
      .executeTakeFirstOrThrow();
    const nodes = Math.ceil(LEAVES / FAN);
    expect(blocks).toBe(BigInt(LEAVES + nodes + Math.ceil(nodes / FAN) + 1));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}, 300_000);
