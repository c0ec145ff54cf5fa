import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { silentLog } from '../../src/log/log.ts';
import { openPinCluster } from '../../src/pins/cluster/cluster-client.ts';
import { startService } from '../../src/service.ts';
import { send } from '../aggregate/receive/receive-fixture.ts';
import { car, sampleUpload } from '../support/car-builder.ts';
import { testDatabase } from '../support/database.ts';
import { startIpfsCluster } from '../support/ipfs-cluster.ts';
import { findIpfsCluster, findKubo } from '../support/ipfs-programs.ts';
import { startKubo } from '../support/kubo.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { pinFixture } from './pin-fixture.ts';

const kubo = findKubo();
const ipfsCluster = findIpfsCluster();
const CREDENTIAL = 'lading:a-password';
const TOKEN = 'an-upload-token';
/** As in production, but for how long it takes. */
const times = {
  graceMs: 3_000,
  soonMs: 300,
  slowestLookMs: 1_000,
  failedMinMs: 1_000,
  failedMaxMs: 5_000,
  pinnedMs: 1_000,
};
const WAIT = { timeout: 60_000, interval: 100 };

async function world(change: Partial<typeof times> = {}) {
  if (kubo === undefined || ipfsCluster === undefined) throw new Error('not to be called');
  await using stack = new AsyncDisposableStack();
  const nodes = [stack.use(await startKubo(kubo)), stack.use(await startKubo(kubo))] as const;
  const cluster = stack.use(await startIpfsCluster(ipfsCluster, nodes, CREDENTIAL));
  const database = stack.use(await testDatabase());
  const folder = stack.use(await temporaryFolder());
  const config = readConfig({
    API_TOKENS: `somebody:upload:${TOKEN}`,
    DATABASE_URL: database.url,
    TOKEN_SECRET: 'a secret of at least 32 characters',
    DATA_DIR: folder.path,
    PORT: '0',
    IPFS_CLUSTER_URL: cluster.url,
    IPFS_CLUSTER_TOKEN: CREDENTIAL,
  });
  const signal = new AbortController().signal;
  const service = stack.use(await startService(config, { log: silentLog, signal, pinTimes: { ...times, ...change } }));
  const call = async (path: string, init: RequestInit = {}) => {
    const type = init.body == null ? {} : { 'content-type': 'application/vnd.ipld.car' };
    const headers = { authorization: `Bearer ${TOKEN}`, ...type };
    const response = await fetch(`${service.url}${path}`, { ...init, headers });
    return (await response.json()) as {
      ok: boolean;
      value: { pin: { status: string; size: number }; degraded?: string[] };
    };
  };
  const status = async (root: string) => (await call(`/check/${root}`)).value.pin.status;
  /** Whether this node pins it, by its own word. */
  const pins = (node: number, root: string) =>
    nodes[node]?.rpc(`pin/ls?arg=${root}&type=recursive`).then(
      () => true,
      () => false,
    );
  const owned = stack.move();
  return { nodes, cluster, database, call, status, pins, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function sample(seed: string, leaves = 5) {
  const { root, blocks } = sampleUpload(seed, leaves);
  return { root: root.toString(), blocks, body: car([root], blocks) };
}

describe.skipIf(kubo === undefined || ipfsCluster === undefined)('with real Kubo and IPFS Cluster', () => {
  test('pinned on upload, kept through the loss of a peer, failed without any, healed without a person, unpinned at delete', async () => {
    await using it = await world();
    const { root, blocks, body } = sample('a life');
    const { value } = await it.call('/upload', { method: 'POST', body });
    expect(value.pin).toMatchObject({
      status: 'queued',
      size: blocks.reduce((sum, { bytes }) => sum + bytes.length, 0),
    });
    await expect.poll(() => it.status(root), WAIT).toBe('pinned');
    // Not by our word alone: both nodes hold it, block by block.
    await expect.poll(async () => [await it.pins(0, root), await it.pins(1, root)], WAIT).toEqual([true, true]);
    for (const { cid, bytes } of blocks) {
      const url = `${it.nodes[1].gatewayUrl}/ipfs/${cid.toString()}?format=raw`;
      expect(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(bytes)).toBe(true);
    }

    await it.nodes[1].stop();
    await delay(2_000);
    expect(await it.status(root)).toBe('pinned');
    await it.nodes[0].stop();
    // What both nodes had is unknown now: young errors are pinning, old ones a failure.
    await expect.poll(() => it.status(root), WAIT).toBe('pinning');
    await expect.poll(() => it.status(root), WAIT).toBe('failed');
    const late = sample('while its nodes are down');
    await it.call('/upload', { method: 'POST', body: late.body });
    await expect.poll(() => it.status(late.root), WAIT).toBe('failed');

    await Promise.all(it.nodes.map((node) => node.start()));
    await expect.poll(() => it.status(root), WAIT).toBe('pinned');
    await expect.poll(() => it.status(late.root), WAIT).toBe('pinned');
    await expect.poll(() => it.pins(0, late.root), WAIT).toBe(true);

    expect(await it.call(`/${root}`, { method: 'DELETE' })).toMatchObject({ ok: true });
    await expect.poll(async () => [await it.pins(0, root), await it.pins(1, root)], WAIT).toEqual([false, false]);
    expect(await it.status(late.root)).toBe('pinned');
    const events = await it.database.kysely
      .selectFrom('events')
      .select('reason_code')
      .where('reason_code', 'like', 'PIN_%')
      .execute();
    expect(new Set(events.map(({ reason_code: code }) => code))).toEqual(
      new Set(['PIN_PINNED', 'PIN_PINNING', 'PIN_FAILED']),
    );
  });

  test('the cluster itself down is told, and pins nothing less; a peer that lost its disk is given the bytes again', async () => {
    await using it = await world();
    const { root, body } = sample('a disk');
    await it.call('/upload', { method: 'POST', body });
    await expect.poll(() => it.status(root), WAIT).toBe('pinned');
    await it.cluster.stopPeer(0);
    await expect
      .poll(async () => (await it.call(`/check/${root}`)).value.degraded, WAIT)
      .toContainEqual(expect.stringMatching(/the IPFS Cluster has not answered since/));
    expect(await it.status(root)).toBe('pinned');
    await it.cluster.startPeer(0);
    await Promise.all(it.nodes.map((node) => node.wipe()));
    await Promise.all(it.nodes.map((node) => node.start()));
    await expect.poll(() => it.pins(0, root), WAIT).toBe(true);
    await expect.poll(() => it.status(root), WAIT).toBe('pinned');
  });

  test('an upload that is sent again heals at once what would wait for long', async () => {
    // What failed is looked at again after an hour, by itself.
    await using it = await world({ failedMinMs: 3_600_000, failedMaxMs: 7_200_000 });
    const { root, body } = sample('again');
    await Promise.all(it.nodes.map((node) => node.stop()));
    await it.call('/upload', { method: 'POST', body });
    await expect.poll(() => it.status(root), WAIT).toBe('failed');
    await Promise.all(it.nodes.map((node) => node.start()));
    await delay(3_000);
    expect(await it.status(root)).toBe('failed');
    await it.call('/upload', { method: 'POST', body });
    await expect.poll(() => it.status(root), WAIT).toBe('pinned');
  });

  test('blocks that nobody has are pinning, then an error, and pinned when they come', async () => {
    if (kubo === undefined || ipfsCluster === undefined) throw new Error('not to be called');
    await using node = await startKubo(kubo);
    await using real = await startIpfsCluster(ipfsCluster, [node]);
    await using it = await pinFixture();
    using cluster = openPinCluster({ url: real.url, authorization: undefined });
    it.pinDeps.cluster = cluster;
    const { root, body } = sample('elsewhere');
    await send(it, body);
    await it.kysely.deleteFrom('parts').execute();
    await it.act();
    const looked = async () => {
      await it.pass(3_000);
      await it.look();
      return (await it.pin(root))?.status;
    };
    await expect.poll(looked, WAIT).toBe('pinning');
    // The cluster gives up after 8 s; the error is told once its grace period is over.
    await expect
      .poll(async () => (await looked(), (await it.pin(root))?.error), { timeout: 60_000, interval: 1_000 })
      .toMatch(/pin_error/);
    const form = new FormData();
    form.append('file', new Blob([body]), 'some.car');
    await node.rpc('dag/import?pin-roots=false', form);
    await expect
      .poll(
        async () => {
          await it.pass(60_000);
          await it.look();
          await it.act();
          return (await it.pin(root))?.status;
        },
        { timeout: 60_000, interval: 1_000 },
      )
      .toBe('pinned');
  });
});
