import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { car, cidOf, header, pbNode, rawBlock, section } from '../../support/car-builder.ts';
import { startOrigin, type Fault } from './block-origin.ts';
import { cutAfter, pin, setUp, show, storedBlocks, tree } from './fetch-fixture.ts';

describe('an origin that is not', () => {
  test('a CAR that breaks off is gone on with where it broke', async () => {
    const { root, blocks } = tree(300);
    await using origin = await startOrigin(blocks, cutAfter(root, 30, blocks));
    await using setting = await setUp();
    const id = await pin(setting.fixture, root, [origin.url]);
    await setting.run(root);
    expect((await show(setting.fixture, id)).status).toBe('pinned');
    expect(await storedBlocks(setting.fixture, root)).toBe(blocks.length);
    expect(origin.asked.filter((line) => line === `car ${root}`).length).toBe(1);
  });

  test('wrong bytes are never kept, and another source gives the right ones', async () => {
    const { root, blocks } = tree(50);
    const liar: Fault = ({ format, response }) => {
      if (format !== 'car') return false;
      response.write(header({ roots: [blocks[0]?.cid], version: 1 }));
      for (const [at, block] of blocks.entries())
        response.write(section(at === 20 ? { ...block, bytes: Buffer.from('other bytes') } : block));
      response.end();
      return true;
    };
    await using bad = await startOrigin(blocks, liar);
    await using good = await startOrigin(blocks);
    await using setting = await setUp({ gatewayUrls: [good.url] });
    const id = await pin(setting.fixture, root, [bad.url]);
    await setting.run(root);
    expect((await show(setting.fixture, id)).status).toBe('pinned');
    expect(await storedBlocks(setting.fixture, root)).toBe(blocks.length);
    expect(bad.asked.length).toBe(1);
    expect(good.asked.length).toBeGreaterThan(0);
  });

  test('wrong bytes from all: queued, with the words why, and what was right is kept', async () => {
    const { root, blocks } = tree(2);
    const [top, , wrong] = blocks;
    const liar: Fault = ({ cid, response }) => {
      if (cid.toString() !== wrong?.cid.toString()) return false;
      response.end('other bytes');
      return true;
    };
    await using origin = await startOrigin(
      blocks.filter((block) => block !== wrong),
      liar,
    );
    await using setting = await setUp();
    const id = await pin(setting.fixture, root, [origin.url]);
    await setting.run(root);
    const shown = await show(setting.fixture, id);
    expect(shown.status).toBe('queued');
    expect(shown.details).toContain(`sent other bytes than those of ${wrong?.cid}`);
    expect(shown.details).toContain(`1 blocks known to be missing, the first is ${wrong?.cid}`);
    expect(top?.cid.toString()).toBe(root);
  });

  test('an endless CAR of blocks that nobody asked for is left', async () => {
    const { root, blocks } = tree(2);
    const flood: Fault = async ({ format, response }) => {
      if (format !== 'car') return false;
      response.write(header({ roots: [blocks[0]?.cid], version: 1 }));
      while (!response.destroyed) {
        const more = Buffer.concat(Array.from({ length: 64 }, () => section(rawBlock(randomBytes(1_000)))));
        if (!response.write(more))
          await new Promise((resolve) => response.once('drain', resolve).once('close', resolve).setMaxListeners(0));
      }
      return true;
    };
    await using origin = await startOrigin([], flood);
    await using setting = await setUp({ limits: { strayBytes: 1_000_000 } });
    const id = await pin(setting.fixture, root, [origin.url]);
    await setting.run(root);
    expect(await show(setting.fixture, id)).toMatchObject({
      status: 'queued',
      details: expect.stringContaining('it sends much that was not asked for') as string,
    });
  });

  test('a CAR that drips is left once no block comes', async () => {
    const { root, blocks } = tree(2);
    const drip: Fault = async ({ format, response }) => {
      if (format !== 'car') return false;
      const bytes = car([blocks[0]?.cid as never], blocks);
      for (let at = 0; at < bytes.length && !response.destroyed; at += 1) {
        response.write(bytes.subarray(at, at + 1));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return true;
    };
    await using origin = await startOrigin(blocks, drip);
    await using setting = await setUp({ limits: { idleMs: 500 } });
    const id = await pin(setting.fixture, root, [origin.url]);
    await setting.run(root);
    expect((await show(setting.fixture, id)).details).toContain('gave no block within 500 ms');
  });

  test('more than an upload may have fails, and is not tried again', async () => {
    const leaves = Array.from({ length: 22 }, () => rawBlock(randomBytes(1024 * 1024)));
    const top = pbNode(leaves);
    await using origin = await startOrigin([top, ...leaves]);
    await using setting = await setUp();
    const id = await pin(setting.fixture, top.cid.toString(), [origin.url]);
    await setting.run(top.cid.toString());
    expect(await show(setting.fixture, id)).toMatchObject({
      status: 'failed',
      details: expect.stringContaining('the limit of 20 MiB') as string,
    });
    expect(await setting.fixture.kysely.selectFrom('parts').select('id').execute()).toEqual([]);
  });

  test('a sound block that cannot be read fails by its name', async () => {
    const odd = { cid: cidOf(0x70, Buffer.from('no dag-pb')), bytes: Buffer.from('no dag-pb') };
    await using origin = await startOrigin([odd]);
    await using setting = await setUp();
    const id = await pin(setting.fixture, odd.cid.toString(), [origin.url]);
    await setting.run(odd.cid.toString());
    expect(await show(setting.fixture, id)).toMatchObject({
      status: 'failed',
      details: expect.stringContaining(`the block ${odd.cid} is not in the codec`) as string,
    });
  });

  test.each(['http://127.0.0.1:1', 'http://169.254.169.254', 'http://[::1]:1', 'http://localhost:1'])(
    'SSRF: %s is not called unless the configuration allows it',
    async (url) => {
      await using setting = await setUp({ allowPrivate: false });
      const { cid } = rawBlock('x');
      const id = await pin(setting.fixture, cid.toString(), [url]);
      await setting.run(cid.toString());
      expect((await show(setting.fixture, id)).details).toContain('no address of the public internet');
    },
  );

  test('SSRF: a name that stands for loopback is not called', async () => {
    const leaf = rawBlock('secret');
    await using inner = await startOrigin([leaf]);
    const root = leaf.cid.toString();
    await using setting = await setUp({ allowPrivate: false });
    const port = new URL(inner.url).port;
    const id = await pin(setting.fixture, root, [`/dns4/localhost/tcp/${port}/http`]);
    await setting.run(root);
    expect(inner.asked).toEqual([]);
    expect((await show(setting.fixture, id)).status).toBe('queued');
  });

  test.each(['http://127.0.0.2:1/x', 'http://169.254.169.254/latest/meta-data', 'http://[::1]:1/x'])(
    'SSRF: a redirect to %s is not followed',
    async (location) => {
      const { root, blocks } = tree(2);
      const leads: Fault = ({ response }) => {
        response.writeHead(302, { location }).end();
        return true;
      };
      await using origin = await startOrigin(blocks, leads);
      // As an origin of the public internet: its own address is allowed, and what it leads to is not.
      await using setting = await setUp({ allowPrivate: false, networks: ['127.0.0.1/32'] });
      const id = await pin(setting.fixture, root, [origin.url]);
      await setting.run(root);
      expect(await show(setting.fixture, id)).toMatchObject({
        status: 'queued',
        details: expect.stringContaining('no address of the public internet') as string,
      });
      expect(origin.asked.length).toBeGreaterThan(0);
    },
  );

  test('a gateway of the configuration that leads elsewhere is not followed', async () => {
    const { root, blocks } = tree(2);
    await using other = await startOrigin(blocks);
    const leads: Fault = ({ response }) => {
      response.writeHead(302, { location: other.url }).end();
      return true;
    };
    await using origin = await startOrigin([], leads);
    await using setting = await setUp({ gatewayUrls: [origin.url] });
    const id = await pin(setting.fixture, root, []);
    await setting.run(root);
    expect((await show(setting.fixture, id)).status).toBe('queued');
    expect(other.asked).toEqual([]);
  });
});
