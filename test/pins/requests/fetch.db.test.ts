import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { CID } from 'multiformats/cid';
import { bearer, tokens, type ApiFixture } from '../../support/api-fixture.ts';
import { car, header, pbNode, rawBlock, section } from '../../support/car-builder.ts';
import { startOrigin, type Fault } from './block-origin.ts';
import { makeDue, pin, setUp, show, storedBlocks, tree } from './fetch-fixture.ts';

describe('an origin that is well', () => {
  test('one CAR, verified, is an upload like any other', async () => {
    const { root, blocks } = tree(200);
    await using origin = await startOrigin(blocks);
    await using setting = await setUp();
    const { fixture, run } = setting;
    const id = await pin(fixture, root, [origin.url]);
    await run(root);
    expect(await show(fixture, id)).toEqual({ status: 'pinned', details: '' });
    expect(origin.asked).toEqual([`car ${root}`]);
    expect(await storedBlocks(fixture, root)).toBe(blocks.length);
    const own = await fixture.server.inject({ url: `/${root}`, headers: bearer(tokens.upload) });
    expect(own.json()).toMatchObject({ ok: true, value: { cid: root, pin: { status: 'pinned' } } });
    const states = await fixture.kysely
      .selectFrom('pin_request_events')
      .select('to_state')
      .orderBy('position')
      .execute();
    expect(states.map(({ to_state: state }) => state)).toEqual(['queued', 'pinning', 'pinned']);
    expect(fixture.jobs.sent.map(({ queue }) => queue)).toEqual(['fetch', 'stow']);
  });

  test('by a multiaddr that ends in /http', async () => {
    const { root, blocks } = tree(3);
    await using origin = await startOrigin(blocks);
    await using setting = await setUp();
    const id = await pin(setting.fixture, root, [`/ip4/127.0.0.1/tcp/${new URL(origin.url).port}/http`]);
    await setting.run(root);
    expect((await show(setting.fixture, id)).status).toBe('pinned');
  });

  test('one block alone is asked for as a block', async () => {
    const leaf = rawBlock(randomBytes(5_000));
    await using origin = await startOrigin([leaf]);
    await using setting = await setUp({ gatewayUrls: [origin.url] });
    const id = await pin(setting.fixture, leaf.cid.toString(), []);
    await setting.run(leaf.cid.toString());
    expect((await show(setting.fixture, id)).status).toBe('pinned');
    expect(origin.asked).toEqual([`raw ${leaf.cid}`]);
  });

  test('two tokens that ask for one root: fetched once, owned by both', async () => {
    const { root, blocks } = tree(20);
    await using origin = await startOrigin(blocks);
    await using setting = await setUp();
    const { fixture, run } = setting;
    const ids = [await pin(fixture, root, []), await pin(fixture, root, [origin.url], tokens.upload2)];
    await run(root);
    await run(root);
    expect((await show(fixture, ids[0] ?? '')).status).toBe('pinned');
    expect((await show(fixture, ids[1] ?? '', tokens.upload2)).status).toBe('pinned');
    expect(origin.asked.length).toBe(1);
    for (const token of [tokens.upload, tokens.upload2])
      expect((await fixture.server.inject({ url: `/${root}`, headers: bearer(token) })).statusCode).toBe(200);
  });

  test('what is missing of an upload in parts is all that is asked for', async () => {
    const { root, blocks } = tree(40);
    const [top, ...rest] = blocks;
    if (top === undefined) throw new Error('a tree has a root');
    const lacking = new Set(rest.slice(-3).map(({ cid }) => cid.toString()));
    await using origin = await startOrigin(blocks);
    await using setting = await setUp();
    const { fixture, run } = setting;
    const headers = { ...bearer(tokens.upload2), 'content-type': 'application/car' };
    const payload = car(
      [top.cid],
      blocks.filter(({ cid }) => !lacking.has(cid.toString())),
    );
    await fixture.server.inject({ method: 'POST', url: '/upload', headers, payload });
    const id = await pin(fixture, root, [origin.url]);
    await run(root);
    expect((await show(fixture, id)).status).toBe('pinned');
    expect(origin.asked.toSorted()).toEqual([...lacking].map((cid) => `raw ${cid}`).toSorted());
  });
});

describe('attempts', () => {
  test('in vain: queued again with a wait that doubles, and failed when there was no block for long', async () => {
    const { root } = tree(2);
    await using origin = await startOrigin([]);
    await using setting = await setUp({ giveUpMs: 1_000 });
    const { fixture, run } = setting;
    const id = await pin(fixture, root, [origin.url]);
    fixture.jobs.sent.length = 0;
    await run(root);
    expect(await show(fixture, id)).toEqual({ status: 'queued', details: expect.stringContaining('answered 404') });
    const row = await fixture.kysely
      .selectFrom('pin_requests')
      .select(['attempts'])
      .select(sql<number>`extract(epoch from next_attempt_at - now())::float`.as('wait'))
      .executeTakeFirstOrThrow();
    expect(row.attempts).toBe(1);
    expect(row.wait).toBeGreaterThan(8);
    expect(row.wait).toBeLessThan(11);
    expect(fixture.jobs.sent).toEqual([{ queue: 'fetch', data: { root } }]);
    const asked = origin.asked.length;
    await run(root);
    expect(origin.asked.length).toBe(asked);
    await makeDue(fixture);
    await fixture.kysely
      .updateTable('pin_requests')
      .set({ progress_at: sql<Date>`now() - interval '1 hour'` })
      .execute();
    await run(root);
    expect((await show(fixture, id)).status).toBe('failed');
    await makeDue(fixture);
    await run(root);
    expect((await show(fixture, id)).status).toBe('failed');
  });

  test('what one attempt brought is not fetched again by the next', async () => {
    const { root, blocks } = tree(200);
    let isDown = false;
    const dies: Fault = ({ n, response }) => {
      if (!isDown && n === 1) return false;
      if (isDown) response.destroy();
      return isDown;
    };
    const half = blocks.slice(0, 100);
    await using first = await startOrigin(half, dies);
    await using setting = await setUp();
    const { fixture, run } = setting;
    const id = await pin(fixture, root, [first.url]);
    await run(root);
    expect((await show(fixture, id)).status).toBe('queued');
    isDown = true;
    await using second = await startOrigin(blocks);
    await pin(fixture, root, [second.url]);
    await makeDue(fixture);
    await run(root);
    expect((await show(fixture, id)).status).toBe('pinned');
    const again = second.asked.filter((line) => half.some(({ cid }) => line.endsWith(cid.toString())));
    expect(again).toEqual([]);
    expect(await storedBlocks(fixture, root)).toBe(blocks.length);
  });

  test('parts of some bytes each are kept as they come, and together are the upload', async () => {
    const { root, blocks } = tree(100);
    await using origin = await startOrigin(blocks);
    await using setting = await setUp({ limits: { partBytes: 10_000 } });
    const id = await pin(setting.fixture, root, [origin.url]);
    await setting.run(root);
    expect((await show(setting.fixture, id)).status).toBe('pinned');
    expect(await storedBlocks(setting.fixture, root)).toBe(blocks.length);
    expect(origin.asked).toEqual([`car ${root}`]);
    expect((await setting.fixture.kysely.selectFrom('parts').select('id').execute()).length).toBeGreaterThan(5);
  });

  test('a stop in the middle keeps what came, and the next start goes on', async () => {
    const { root, blocks } = tree(100);
    await using setting = await setUp();
    const { fixture, run } = setting;
    const stop = new AbortController();
    const halts: Fault = ({ n, format, response }) => {
      if (n !== 1 || format !== 'car') return false;
      response.write(header({ roots: [blocks[0]?.cid], version: 1 }));
      for (const block of blocks.slice(0, 50)) response.write(section(block));
      setTimeout(() => stop.abort(), 300);
      return true;
    };
    await using origin = await startOrigin(blocks, halts);
    const id = await pin(fixture, root, [origin.url]);
    await run(root, stop.signal);
    expect(await show(fixture, id)).toMatchObject({ status: 'pinning' });
    const kept = await fixture.kysely.selectFrom('part_blocks').select('cid').execute();
    expect(kept.length).toBe(50);
    await run(root);
    expect((await show(fixture, id)).status).toBe('pinned');
    expect(origin.asked.filter((line) => line === `car ${root}`).length).toBe(1);
  });

  test('a pin that is removed while it is fetched leaves no upload behind', async () => {
    const { root, blocks } = tree(20);
    await using setting = await setUp();
    const { fixture, run } = setting;
    let id = '';
    const removes: Fault = async () => {
      await fixture.server.inject({ method: 'DELETE', url: `/pins/${id}`, headers: bearer(tokens.upload) });
      return false;
    };
    await using origin = await startOrigin(blocks, removes);
    id = await pin(fixture, root, [origin.url]);
    await run(root);
    const upload = await fixture.kysely.selectFrom('uploads').select('state').executeTakeFirst();
    expect(upload?.state).toBe('removed');
  });
});

describe('shapes', () => {
  test('a chain deeper than 10,000', async () => {
    let top = rawBlock('the end');
    const blocks = [top];
    for (let depth = 0; depth < 12_000; depth += 1) blocks.unshift((top = pbNode([top])));
    await using origin = await startOrigin(blocks);
    await using setting = await setUp({}, { limits: { maxBlocks: 20_000 } });
    const id = await pin(setting.fixture, top.cid.toString(), [origin.url]);
    await setting.run(top.cid.toString());
    expect(await show(setting.fixture, id)).toMatchObject({ status: 'pinned' });
    expect(await storedBlocks(setting.fixture, top.cid.toString())).toBe(12_001);
    expect(origin.asked.length).toBe(1);
  });

  test('a gateway without CARs: block by block', async () => {
    const { root, blocks } = tree(100);
    const noCars: Fault = ({ format, response }) => {
      if (format !== 'car') return false;
      response.writeHead(406).end();
      return true;
    };
    await using origin = await startOrigin(blocks, noCars);
    await using setting = await setUp();
    const id = await pin(setting.fixture, root, [origin.url]);
    await setting.run(root);
    expect((await show(setting.fixture, id)).status).toBe('pinned');
    expect(origin.asked.length).toBe(blocks.length + 1);
  });

  test('more wanted than is remembered at a time', async () => {
    const leaves = Array.from({ length: 3_000 }, () => rawBlock(randomBytes(40)));
    const top = pbNode(leaves);
    await using origin = await startOrigin([top, ...leaves]);
    await using setting = await setUp({ limits: { maxWanted: 1_000 } });
    const id = await pin(setting.fixture, top.cid.toString(), [origin.url]);
    await setting.run(top.cid.toString());
    expect((await show(setting.fixture, id)).status).toBe('pinned');
    expect(await storedBlocks(setting.fixture, top.cid.toString())).toBe(3_001);
  });
});

test('whose token was revoked has nothing fetched, and others have', async () => {
  const { root, blocks } = tree(3);
  await using origin = await startOrigin(blocks);
  await using setting = await setUp({ configuredNames: ['other'] });
  const { fixture, run } = setting;
  const gone = await pin(fixture, root, [origin.url]);
  await run(root);
  expect(await show(fixture, gone)).toMatchObject({ status: 'failed', details: expect.stringContaining('revoked') });
  expect(origin.asked).toEqual([]);
  const id = await pin(fixture, root, [origin.url], tokens.upload2);
  await run(root);
  expect((await show(fixture, id, tokens.upload2)).status).toBe('pinned');
});

describe('what was sent too stays until DELETE /{cid}, whatever becomes of its pins', () => {
  const send = (fixture: ApiFixture, payload: Buffer) =>
    fixture.server.inject({
      method: 'POST',
      url: '/upload',
      headers: { ...bearer(tokens.upload), 'content-type': 'application/vnd.ipld.car' },
      payload,
    });
  const unpin = (fixture: ApiFixture, id: string) =>
    fixture.server.inject({ method: 'DELETE', url: `/pins/${id}`, headers: bearer(tokens.upload) });
  const isOwn = async (fixture: ApiFixture, root: string) =>
    (await fixture.server.inject({ url: `/${root}`, headers: bearer(tokens.upload) })).statusCode === 200;

  test.each([
    ['while it is fetched', true],
    ['after it was fetched', false],
  ])('%s', async (_when, isEarly) => {
    const { root, blocks } = tree(3);
    const whole = car([CID.parse(root)], blocks);
    await using origin = await startOrigin(blocks);
    await using setting = await setUp();
    const { fixture, run } = setting;
    const id = await pin(fixture, root, [origin.url]);
    if (isEarly) await send(fixture, whole);
    await run(root);
    if (!isEarly) await send(fixture, whole);
    expect((await show(fixture, id)).status).toBe('pinned');
    expect((await unpin(fixture, id)).statusCode).toBe(202);
    expect(await isOwn(fixture, root)).toBe(true);
  });

  test('what was only pinned goes with its last pin, and pins after it was deleted give it again', async () => {
    const { root, blocks } = tree(3);
    await using origin = await startOrigin(blocks);
    await using setting = await setUp();
    const { fixture, run } = setting;
    await send(fixture, car([CID.parse(root)], blocks));
    await fixture.server.inject({ method: 'DELETE', url: `/${root}`, headers: bearer(tokens.upload) });
    const id = await pin(fixture, root, [origin.url]);
    await run(root);
    expect(await isOwn(fixture, root)).toBe(true);
    await unpin(fixture, id);
    expect(await isOwn(fixture, root)).toBe(false);
  });
});

test('who takes longer than a turn keeps what came, and goes on behind all who wait', async () => {
  const { root, blocks } = tree(40);
  let isSlow = true;
  // All but the last block, and then nothing more, for ever.
  await using origin = await startOrigin(blocks, ({ format, response }) => {
    if (!isSlow || format !== 'car') return false;
    response.write(header({ roots: [blocks[0]?.cid], version: 1 }));
    for (const block of blocks.slice(0, -1)) response.write(section(block));
    return true;
  });
  await using setting = await setUp({ turnMs: 1_000 });
  const { fixture, run } = setting;
  const id = await pin(fixture, root, [origin.url]);
  await run(root);
  expect(await show(fixture, id)).toMatchObject({ status: 'queued', details: expect.stringContaining('after others') });
  expect(fixture.jobs.sent.filter(({ queue }) => queue === 'fetch')).toHaveLength(2);
  isSlow = false;
  // Due at once.
  await run(root);
  expect((await show(fixture, id)).status).toBe('pinned');
  expect(origin.asked).toEqual([`car ${root}`, `raw ${blocks.at(-1)?.cid}`]);
});

test('an owner of many pins that come slowly leaves a place to others', async () => {
  const [first = '', ...more] = Array.from({ length: 4 }, () => rawBlock(randomBytes(10)).cid.toString());
  const others = rawBlock(randomBytes(10));
  // Whoever asks for what is not there waits for ever.
  await using origin = await startOrigin([others], ({ cid }) => !cid.equals(others.cid));
  await using setting = await setUp({ gatewayUrls: [origin.url] });
  const { fixture, run, stopping } = setting;
  const ids = await Promise.all([first, ...more].map((cid) => pin(fixture, cid, [])));
  const running = more.map((cid) => run(cid));
  await expect.poll(() => origin.asked.length).toBe(3);
  const id = await pin(fixture, others.cid.toString(), [], tokens.upload2);
  await run(first);
  expect((await show(fixture, ids[0] ?? '')).status).toBe('queued');
  expect(fixture.jobs.sent.at(-1)).toMatchObject({ queue: 'fetch', data: { root: first } });
  await run(others.cid.toString());
  expect((await show(fixture, id, tokens.upload2)).status).toBe('pinned');
  // Nobody else waits: it takes the last place too.
  running.push(run(first));
  await expect.poll(() => origin.asked.length).toBe(5);
  stopping.abort();
  await Promise.all(running);
});
