import { CarBlockIterator } from '@ipld/car';
import { describe, expect, test } from 'vitest';
import { endOwnership } from '../../src/aggregate/keep/remove-upload.ts';
import { reconcilePins } from '../../src/pins/pin-wishes.ts';
import { send } from '../aggregate/receive/receive-fixture.ts';
import { car, sampleUpload } from '../support/car-builder.ts';
import { pinFixture } from './pin-fixture.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

function sample(seed: string, leaves = 3) {
  const { root, blocks } = sampleUpload(seed, leaves);
  return { root: root.toString(), blocks, car: car([root], blocks) };
}

test('an upload is queued, given with all its bytes, pinned, and told as the cluster says each time', async () => {
  await using it = await pinFixture();
  const { root, car: bytes } = sample('whole');
  await send(it, bytes);
  expect(it.jobs.sent).toContainEqual({ queue: 'pin', data: {} });
  expect((await it.told(root)).pin.status).toBe('queued');
  await it.act();
  expect(it.standIn.asked.map(({ method, path }) => `${method} ${path}`)).toEqual(['POST /add']);
  expect((await it.told(root)).pin.status).toBe('pinning');
  expect(await it.look()).toBe(false);
  await it.pass(1_000);
  await it.look();
  expect((await it.told(root)).pin.status).toBe('pinned');
  expect(await it.events()).toEqual([{ reason_code: 'PIN_PINNED', detail: null, to_state: 'waiting' }]);
});

test('the CAR that is given has the root, and every block once', async () => {
  await using it = await pinFixture();
  const { root, blocks, car: bytes } = sample('parts', 40);
  await send(it, bytes);
  const given: Uint8Array[] = [];
  it.pinDeps.cluster = {
    ...it.pinDeps.cluster,
    add: async ({ chunks, lengthBytes, root: named }) => {
      for await (const chunk of chunks) given.push(Buffer.from(chunk));
      expect(Buffer.concat(given).length).toBe(lengthBytes);
      expect(named).toBe(root);
    },
  };
  await it.act();
  const reader = await CarBlockIterator.fromBytes(Buffer.concat(given));
  expect((await reader.getRoots()).map(String)).toEqual([root]);
  const cids: string[] = [];
  for await (const { cid } of reader) cids.push(cid.toString());
  expect(cids.sort()).toEqual(blocks.map(({ cid }) => cid.toString()).sort());
});

test('an incomplete upload has no pin; the part that completes it makes one', async () => {
  await using it = await pinFixture();
  const { root, blocks } = sampleUpload('in parts', 6);
  const top = blocks.filter(({ cid }) => cid.equals(root));
  const rest = blocks.filter(({ cid }) => !cid.equals(root));
  await send(it, car([root], [...top, ...rest.slice(0, 3)]));
  expect(await it.pin(root.toString())).toBeUndefined();
  expect((await it.told(root.toString())).pin.status).toBe('queued');
  await send(it, car([root], [...top, ...rest.slice(3)]));
  await it.act();
  await it.pass(1_000);
  await it.look();
  expect((await it.told(root.toString())).pin.status).toBe('pinned');
});

describe('faults', () => {
  test('a cluster that is down keeps uploads queued, says so, and loses nothing', async () => {
    await using it = await pinFixture();
    const { root, car: bytes } = sample('down');
    it.standIn.faults.down = true;
    await send(it, bytes);
    await it.act();
    expect(await it.pin(root)).toMatchObject({ status: 'queued', step: 'give', failing_since: null });
    const standing = await it.kysely.selectFrom('pin_cluster').selectAll().executeTakeFirstOrThrow();
    expect(standing).toMatchObject({
      failing_since: expect.any(Date),
      error: expect.stringMatching(/does not answer/),
    });
    it.standIn.faults.down = false;
    await it.pass(15_000);
    await it.act();
    await it.pass(1_000);
    await it.look();
    expect((await it.told(root)).pin.status).toBe('pinned');
    expect(await it.kysely.selectFrom('pin_cluster').selectAll().executeTakeFirst()).toMatchObject({
      failing_since: null,
    });
  });

  test('a look that gets no answer changes nothing, and what was pinned stays told so, with a word of its age', async () => {
    await using it = await pinFixture();
    const { root, car: bytes } = sample('later down');
    await send(it, bytes);
    await it.act();
    await it.pass(1_000);
    await it.look();
    it.standIn.faults.down = true;
    await it.pass(DAY);
    await expect(it.look()).rejects.toThrow(/does not answer/);
    it.say('the IPFS Cluster has not answered since …');
    expect(await it.told(root)).toMatchObject({
      pin: { status: 'pinned' },
      degraded: [expect.stringMatching(/has not answered/)],
    });
  });

  test('half of its peers in error is pinned; all of them is pinning, then failed, and heals without a person', async () => {
    await using it = await pinFixture();
    const { root, car: bytes } = sample('dead peers');
    await send(it, bytes);
    await it.act();
    it.standIn.faults.deadPeers.add(0);
    await it.pass(1_000);
    await it.look();
    expect((await it.told(root)).pin.status).toBe('pinned');
    it.standIn.faults.deadPeers.add(1);
    await it.pass(DAY);
    await it.look();
    expect((await it.told(root)).pin.status).toBe('pinning');
    await it.act();
    expect(it.standIn.asked.at(-1)?.path).toBe(`/pins/${root}/recover`);
    for (let minutes = 0; minutes < 12; minutes += 2) {
      await it.pass(2 * MINUTE);
      await it.look();
      await it.act();
    }
    expect(await it.pin(root)).toMatchObject({ status: 'failed', error: expect.stringMatching(/^pin_error: /) });
    expect((await it.told(root)).pin.status).toBe('failed');
    it.standIn.faults.deadPeers.clear();
    await it.pass(DAY);
    await it.look();
    expect((await it.told(root)).pin.status).toBe('pinned');
    const told = (await it.events()).map(({ reason_code: code }) => code);
    expect(told).toEqual(['PIN_PINNED', 'PIN_PINNING', 'PIN_FAILED', 'PIN_PINNED']);
  });

  test('what was pinned and is unpinned now is pinned again', async () => {
    await using it = await pinFixture();
    const { root, car: bytes } = sample('forgotten');
    await send(it, bytes);
    await it.act();
    await it.pass(1_000);
    await it.look();
    it.standIn.faults.forgetful = true;
    await it.pass(DAY);
    await it.look();
    expect(await it.pin(root)).toMatchObject({ status: 'queued', step: 'give' });
    expect(it.jobs.sent.filter(({ queue }) => queue === 'pin')).toHaveLength(2);
    it.standIn.faults.forgetful = false;
    await it.act();
    await it.pass(1_000);
    await it.look();
    expect((await it.told(root)).pin.status).toBe('pinned');
    expect(it.standIn.asked.filter(({ path }) => path === '/add')).toHaveLength(2);
  });

  test('a list that breaks off settles what came of it, and asks for the rest again', async () => {
    await using it = await pinFixture();
    const samples = Array.from({ length: 6 }, (_, nth) => sample(`cut ${nth}`, 1));
    for (const { car: bytes } of samples) await send(it, bytes);
    await it.act();
    await it.pass(1_000);
    it.standIn.faults.cutAfterLines = 4;
    await it.look();
    const statuses = async () => (await Promise.all(samples.map(({ root }) => it.pin(root)))).map((pin) => pin?.status);
    expect((await statuses()).filter((status) => status === 'pinned')).toHaveLength(4);
    expect((await statuses()).filter((status) => status === 'pinning')).toHaveLength(2);
    it.standIn.faults.cutAfterLines = undefined;
    await it.pass(30_000);
    await it.look();
    expect(new Set(await statuses())).toEqual(new Set(['pinned']));
  });

  test('a refusal is tried again, and becomes a failure with the words of the cluster', async () => {
    await using it = await pinFixture();
    const { root, car: bytes } = sample('refused');
    it.standIn.faults.tooFewPeers = true;
    await send(it, bytes);
    await it.act();
    expect(await it.pin(root)).toMatchObject({
      status: 'queued',
      step: 'give',
      error: expect.stringMatching(/^not enough peers/),
    });
    await it.pass(11 * MINUTE);
    await it.act();
    expect((await it.told(root)).pin.status).toBe('failed');
    it.standIn.faults.tooFewPeers = false;
    await it.pass(DAY);
    await it.act();
    await it.pass(1_000);
    await it.look();
    expect((await it.told(root)).pin.status).toBe('pinned');
  });

  test('bytes that cannot be read here hold up no other upload', async () => {
    await using it = await pinFixture();
    const [bad, good] = [sample('unreadable'), sample('readable')];
    await send(it, bad.car);
    await it.kysely.updateTable('parts').set({ object_key: 'runs/gone' }).execute();
    await send(it, good.car);
    await it.act();
    expect(await it.pin(bad.root)).toMatchObject({ status: 'queued', step: 'give', error: expect.any(String) });
    expect(await it.pin(good.root)).toMatchObject({ status: 'pinning' });
  });

  test('bytes that are here no more are pinned by their CID', async () => {
    await using it = await pinFixture();
    const { root, car: bytes } = sample('released');
    await send(it, bytes);
    await it.kysely.deleteFrom('parts').execute();
    await it.act();
    expect(it.standIn.asked.at(-1)).toMatchObject({ method: 'POST', path: `/pins/${root}` });
  });
});

describe('wishes', () => {
  test('a renewed upload of what failed is given at once, and one of what is pinned only looked at', async () => {
    await using it = await pinFixture();
    const { root, car: bytes } = sample('renewed');
    it.standIn.faults.tooFewPeers = true;
    await send(it, bytes);
    await it.act();
    await it.pass(11 * MINUTE);
    await it.act();
    expect((await it.told(root)).pin.status).toBe('failed');
    it.standIn.faults.tooFewPeers = false;
    await send(it, bytes);
    expect((await it.told(root)).pin.status).toBe('queued');
    await it.act();
    await it.pass(1_000);
    await it.look();
    expect((await it.told(root)).pin.status).toBe('pinned');
    const before = it.standIn.asked.filter(({ path }) => path === '/add').length;
    await send(it, bytes);
    await it.act();
    await it.look();
    expect(it.standIn.asked.filter(({ path }) => path === '/add')).toHaveLength(before);
    expect((await it.told(root)).pin.status).toBe('pinned');
  });

  test('it is unpinned once nobody owns it, and pinned anew when somebody sends it again', async () => {
    await using it = await pinFixture();
    const { root, car: bytes } = sample('deleted');
    await send(it, bytes);
    await send(it, bytes, { owner: 'other' });
    await it.act();
    const end = (owner: string) =>
      endOwnership({ kysely: it.kysely, clock: it.deps.clock, log: it.deps.log }, { root, owner });
    await end('service');
    await it.act();
    expect(it.standIn.pins.size).toBe(1);
    await end('other');
    await it.act();
    expect(it.standIn.pins.size).toBe(0);
    expect(await it.pin(root)).toMatchObject({ status: 'unpinned', step: null, due_at: null });
    await send(it, bytes);
    await it.act();
    expect(it.standIn.pins.size).toBe(1);
    await it.pass(1_000);
    await it.look();
    expect((await it.told(root)).pin.status).toBe('pinned');
  });

  test('a deletion while its bytes are under way is what counts in the end', async () => {
    await using it = await pinFixture();
    const { root, car: bytes } = sample('race');
    await send(it, bytes);
    it.pinDeps.cluster = {
      ...it.pinDeps.cluster,
      add: async (given, signal) => {
        await endOwnership({ kysely: it.kysely, clock: it.deps.clock, log: it.deps.log }, { root, owner: 'service' });
        await it.pinDeps.cluster.pin(given.root, signal);
      },
    };
    await it.act();
    expect(it.standIn.pins.size).toBe(0);
    expect(await it.pin(root)).toMatchObject({ status: 'unpinned', step: null });
  });

  test('a step that another process has in hand is taken once it was given up', async () => {
    await using it = await pinFixture();
    const { car: bytes } = sample('leased');
    await send(it, bytes);
    await it.kysely
      .updateTable('pins')
      .set({ due_at: new Date(Date.now() + 60_000) })
      .execute();
    await it.act();
    expect(it.standIn.asked).toEqual([]);
    await it.pass(61_000);
    await it.act();
    expect(it.standIn.asked).toHaveLength(1);
  });
});

test('a cluster that is configured later is asked what it has, and given the rest', async () => {
  await using it = await pinFixture();
  const [known, unknown] = [sample('known'), sample('unknown')];
  delete it.receive.onComplete;
  delete it.receive.groups;
  await send(it, known.car);
  await send(it, unknown.car);
  const torn = sampleUpload('torn', 3);
  await send(
    it,
    car(
      [torn.root],
      torn.blocks.filter(({ cid }) => cid.equals(torn.root)),
    ),
  );
  expect((await it.told(known.root)).pin.status).toBe('queued');
  const { cid } = known.blocks.find((block) => block.cid.toString() === known.root) ?? {};
  if (cid === undefined) throw new Error('no root block');
  it.standIn.pins.addBlock(cid);
  it.standIn.pins.pin(cid, 'by hand');
  const cursor = { afterId: 0n };
  expect(await reconcilePins(it.kysely, cursor, 1)).toBe(true);
  expect(await reconcilePins(it.kysely, cursor, 10)).toBe(false);
  expect(cursor.afterId).toBe(0n);
  await it.look();
  expect((await it.told(known.root)).pin.status).toBe('pinned');
  expect(await it.pin(unknown.root)).toMatchObject({ status: 'queued', step: 'give', failing_since: null });
  await it.act();
  expect(it.standIn.asked.filter(({ path }) => path === '/add')).toHaveLength(1);
  expect(await it.kysely.selectFrom('pins').selectAll().execute()).toHaveLength(2);
});
