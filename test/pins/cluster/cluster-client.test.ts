import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { startStandInCluster, type StandInCluster } from '../../../src/devnet/ipfs-cluster/cluster-server.ts';
import { carV1Header } from '../../../src/filecoin/car.ts';
import { authorizationOf, openPinCluster } from '../../../src/pins/cluster/cluster-client.ts';
import { ClusterRefused, ClusterUnreachable } from '../../../src/pins/cluster/cluster-fault.ts';
import { sampleUpload } from '../../support/car-builder.ts';

const never = new AbortController().signal;

async function open(options: Parameters<typeof startStandInCluster>[0] = {}, silenceMs?: number) {
  const stack = new AsyncDisposableStack();
  const standIn = stack.use(await startStandInCluster(options));
  const cluster = stack.use(openPinCluster({ url: standIn.url, authorization: undefined }, silenceMs));
  return { standIn, cluster, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

function carOf(seed: string, leaves = 3) {
  const { root, run } = sampleUpload(seed, leaves);
  const header = carV1Header(root);
  async function* chunks() {
    yield header;
    for (let at = 0; at < run.length; at += 65_536) yield run.subarray(at, at + 65_536);
  }
  return { root: root.toString(), lengthBytes: header.length + run.length, chunks: chunks() };
}

function roots(count: number): string[] {
  return Array.from({ length: count }, (_, nth) => sampleUpload(`root ${nth}`, 1).root.toString());
}

const batchesOf = ({ asked }: StandInCluster) => asked.filter(({ cids }) => cids > 0).map(({ cids }) => cids);

test('a CAR is added and pinned; one that is deleted is lost, and deleting it again is no error', async () => {
  await using it = await open();
  const car = carOf('added');
  await it.cluster.add(car, never);
  expect(await it.cluster.statuses([car.root], never)).toEqual(new Map([[car.root, { kind: 'pinned' }]]));
  await it.cluster.unpin(car.root, never);
  expect((await it.cluster.statuses([car.root], never)).get(car.root)?.kind).toBe('lost');
  await it.cluster.unpin(car.root, never);
});

test('a pin by CID alone of blocks that it has not is an error, until it has them', async () => {
  await using it = await open();
  const car = carOf('by CID');
  await it.cluster.pin(car.root, never);
  expect((await it.cluster.statuses([car.root], never)).get(car.root)).toMatchObject({
    kind: 'error',
    error: expect.stringContaining('block was not found locally'),
  });
  await it.cluster.recover(car.root, never);
  await it.cluster.add(car, never);
  expect((await it.cluster.statuses([car.root], never)).get(car.root)?.kind).toBe('pinned');
});

describe('lists', () => {
  test('are asked for by 120 CIDs, and by fewer where these are long', async () => {
    await using it = await open();
    const some = roots(300);
    expect((await it.cluster.statuses(some, never)).size).toBe(300);
    expect(batchesOf(it.standIn)).toEqual([120, 120, 60]);
  });

  test('that break off, or end with an error behind 200, are good as far as they go', async () => {
    await using it = await open();
    const some = roots(10);
    it.standIn.faults.cutAfterLines = 4;
    // Answers come backwards.
    expect([...(await it.cluster.statuses(some, never)).keys()]).toEqual(some.slice(-4).reverse());
    it.standIn.faults.cutAfterLines = undefined;
    it.standIn.faults.endAfterLines = 7;
    expect((await it.cluster.statuses(some, never)).size).toBe(7);
  });

  test('that are empty are 204, and say nothing', async () => {
    await using it = await open();
    it.standIn.faults.empty = true;
    expect((await it.cluster.statuses(roots(3), never)).size).toBe(0);
  });

  test('that are refused for one CID are asked for by halves, so that the others have their answers', async () => {
    await using it = await open();
    const some = roots(120);
    const [, bad = ''] = some;
    it.standIn.faults.refuses = bad;
    const found = await it.cluster.statuses(some, never);
    expect(found.size).toBe(120);
    expect(found.get(bad)).toEqual({ kind: 'error', error: 'error decoding Cid: refused' });
    expect(batchesOf(it.standIn).length).toBeLessThan(20);
  });

  test('with CIDs as v0 are of the uploads that we know as v1', async () => {
    await using it = await open();
    const car = carOf('v0');
    await it.cluster.add(car, never);
    it.standIn.faults.asV0 = true;
    expect((await it.cluster.statuses([car.root], never)).get(car.root)).toEqual({ kind: 'pinned' });
  });
});

describe('unreachable', () => {
  test.each([
    ['nobody listens', { down: true }, /does not answer/],
    ['a proxy answers for it', { proxyStatus: 502 }, /answered 502/],
    ['it is another service', { proxyStatus: 404 }, /answered 404: <html>/],
    ['it wants another token', { proxyStatus: 401 }, /set IPFS_CLUSTER_TOKEN/],
    ['it is too busy', { proxyStatus: 429 }, /answered 429/],
  ])('%s', async (_name, faults, words) => {
    await using it = await open();
    Object.assign(it.standIn.faults, faults);
    await expect(it.cluster.statuses(roots(2), never)).rejects.toThrow(words);
    await expect(it.cluster.add(carOf('x'), never)).rejects.toThrow(ClusterUnreachable);
  });

  test('it says nothing for too long', async () => {
    await using it = await open({}, 100);
    it.standIn.faults.slowMs = 60_000;
    await expect(it.cluster.statuses(roots(1), never)).rejects.toThrow(/nothing came or went for 0.1 s/);
  });

  test('we stop, and are not kept', async () => {
    await using it = await open();
    it.standIn.faults.slowMs = 60_000;
    const stopping = new AbortController();
    const asked = it.cluster.statuses(roots(1), stopping.signal);
    await delay(20);
    stopping.abort(new Error('stopping'));
    await expect(asked).rejects.toThrow();
  });
});

describe('refused', () => {
  test('with the words of the cluster, before a large CAR has gone', async () => {
    await using it = await open();
    it.standIn.faults.tooFewPeers = true;
    const header = carV1Header(sampleUpload('large', 1).root);
    let sent = 0;
    async function* endless() {
      yield header;
      for (;;) yield Buffer.alloc(65_536, (sent += 1) % 251);
    }
    const car = { ...carOf('large'), lengthBytes: 2 ** 40, chunks: endless() };
    const refusal = await it.cluster.add(car, never).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(ClusterRefused);
    expect(String(refusal)).toMatch(/not enough peers to allocate CID/);
    expect(sent).toBeLessThan(1_000);
  });

  test('a fault of our own bytes is no fault of the cluster', async () => {
    await using it = await open();
    async function* broken() {
      yield Buffer.from('x');
      throw new Error('the disk is gone');
    }
    await expect(it.cluster.add({ ...carOf('x'), chunks: broken() }, never)).rejects.toThrow('the disk is gone');
  });
});

test.each([
  ['user:password', 'Basic dXNlcjpwYXNzd29yZA=='],
  ['eyJhbGciOi.J9', 'Bearer eyJhbGciOi.J9'],
  ['Basic dXNlcjpwYXNzd29yZA==', 'Basic dXNlcjpwYXNzd29yZA=='],
  ['Bearer abc', 'Bearer abc'],
])('the token %s is sent as %s', async (token, header) => {
  await using standIn = await startStandInCluster();
  using cluster = openPinCluster({ url: standIn.url, authorization: authorizationOf(token) });
  expect(await cluster.version(never)).toBe('1.1.6');
  expect(standIn.asked[0]?.authorization).toBe(header);
});
