import { expect, test } from 'vitest';
import { readConfig } from '../src/config.ts';
import { startStandInCluster } from '../src/devnet/ipfs-cluster/cluster-server.ts';
import { checkCluster } from '../src/doctor/check-cluster.ts';
import { silentLog } from '../src/log/log.ts';
import { pinTimes } from '../src/pins/decide-pin.ts';
import { startService } from '../src/service.ts';
import { sampleUpload } from './support/car-builder.ts';
import { testDatabase } from './support/database.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const TOKEN = 'an-upload-token';
const never = new AbortController().signal;

interface Answer {
  ok: boolean;
  value: { pin: { status: string }; degraded?: string[] };
}

async function open(url: string) {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await testDatabase());
  const folder = stack.use(await temporaryFolder());
  const config = readConfig({
    API_TOKENS: `somebody:upload:${TOKEN}`,
    DATABASE_URL: database.url,
    TOKEN_SECRET: 'a secret of at least 32 characters',
    DATA_DIR: folder.path,
    PORT: '0',
    IPFS_CLUSTER_URL: url,
    IPFS_CLUSTER_TOKEN: 'user:password',
  });
  const times = { ...pinTimes, soonMs: 50, pinnedMs: 200 };
  const service = stack.use(await startService(config, { log: silentLog, signal: never, pinTimes: times }));
  const call = async (method: string, path: string, body?: Buffer): Promise<Answer> => {
    const type = body === undefined ? {} : { 'content-type': 'application/vnd.ipld.car' };
    const headers = { authorization: `Bearer ${TOKEN}`, ...type };
    const response = await fetch(`${service.url}${path}`, { method, headers, ...(body && { body: new Blob([body]) }) });
    return (await response.json()) as Answer;
  };
  const owned = stack.move();
  return { call, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test('a service with a cluster pins what it is sent, says when the cluster is gone, and unpins what is deleted', async () => {
  await using standIn = await startStandInCluster();
  await using it = await open(standIn.url);
  const { root, car } = sampleUpload('served', 3);
  const cid = root.toString();
  expect((await it.call('POST', '/upload', car)).value.pin.status).toBe('queued');
  const told = async () => (await it.call('GET', `/check/${cid}`)).value;
  await expect.poll(async () => (await told()).pin.status).toBe('pinned');
  expect(standIn.asked.every(({ authorization }) => authorization === 'Basic dXNlcjpwYXNzd29yZA==')).toBe(true);

  standIn.faults.down = true;
  await expect
    .poll(async () => (await told()).degraded)
    .toContainEqual(expect.stringMatching(/^the IPFS Cluster has not answered since .*pin statuses are as of/));
  expect((await told()).pin.status).toBe('pinned');
  expect(await checkCluster({ url: standIn.url, token: undefined }, never)).toMatchObject([{ ok: false }]);
  standIn.faults.down = false;
  await expect.poll(async () => (await told()).degraded?.join() ?? '').not.toMatch(/IPFS Cluster/);
  expect(await checkCluster({ url: standIn.url, token: undefined }, never)).toMatchObject([
    { ok: true, text: expect.stringMatching(/^version 1\.1\.6 answers at 127\.0\.0\.1:/) },
  ]);

  expect((await it.call('DELETE', `/${cid}`)).ok).toBe(true);
  await expect.poll(() => standIn.pins.size).toBe(0);
});
