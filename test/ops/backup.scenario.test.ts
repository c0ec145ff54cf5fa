import { spawnSync } from 'node:child_process';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { packSamples } from '../../src/demo/sample-files.ts';
import { freePort } from '../scenario/network.ts';
import { ServiceProcess } from '../support/service-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const SCRIPT = fileURLToPath(new URL('../../ops/backup.sh', import.meta.url));
const TOKENS = { upload: 'upload-token-of-the-test', ops: 'operator-token-of-the-test' };
const asOperator = { authorization: `Bearer ${TOKENS.ops}` };

interface Listed {
  items: { pieceCid: string | null }[];
}

/** What a client and an operator see of it: the answer of each check, and each piece byte for byte. */
async function pictureOf(url: string, cids: string[]) {
  const checks = await Promise.all(cids.map(async (cid) => (await fetch(`${url}/check/${cid}`)).status));
  const { items } = (await (await fetch(`${url}/aggregates`, { headers: asOperator })).json()) as Listed;
  const pieces = items.flatMap(({ pieceCid }) => (pieceCid === null ? [] : [pieceCid])).toSorted();
  const bytes = await Promise.all(
    pieces.map(async (piece) => {
      const response = await fetch(`${url}/piece/${piece}`, { headers: asOperator });
      return Buffer.from(await response.arrayBuffer()).toString('base64');
    }),
  );
  return { checks, pieces, bytes };
}

async function send(url: string, seed: string): Promise<string> {
  for await (const sample of packSamples({ seed, count: 1 })) {
    const headers = { authorization: `Bearer ${TOKENS.upload}`, 'content-type': 'application/vnd.ipld.car' };
    const sent = { method: 'POST', headers, body: ReadableStream.from(sample.car), duplex: 'half' } as const;
    expect((await fetch(`${url}/upload`, sent)).status).toBe(200);
    return sample.root.toString();
  }
  throw new Error('no sample');
}

test('a copy that ops/backup.sh took is the whole service on another machine, with its bytes and its tokens', async () => {
  await using folder = await temporaryFolder();
  const [dataDir = '', copy = ''] = ['data', 'copy'].map((name) => join(folder.path, name));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const apiTokens = `tester:upload:${TOKENS.upload},operator:ops:${TOKENS.ops}`;
  const sealing = { PIECE_SIZE: '8MiB', MIN_FILL: '1KiB', MAX_AGE: '1s', FORCE_AGE: '2s' };
  const env = { PORT: String(port), DATA_DIR: dataDir, API_TOKENS: apiTokens, CHAIN_NETWORK: 'devnet', ...sealing };
  await mkdir(dataDir);
  const backup = () => spawnSync(SCRIPT, [copy], { env: { ...process.env, DATA_DIR: dataDir }, encoding: 'utf8' });

  const service = new ServiceProcess(env);
  await service.start();
  const cids = [await send(url, 'one'), await send(url, 'two')];
  const sealed = async () => (await pictureOf(url, cids)).pieces.length;
  await expect.poll(sealed, { timeout: 30_000, interval: 200 }).toBeGreaterThan(0);
  const made = await fetch(`${url}/tokens`, {
    method: 'POST',
    headers: { ...asOperator, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'later', role: 'read' }),
  });
  const { token } = (await made.json()) as { token: string };
  const before = await pictureOf(url, cids);
  expect(before.checks).toEqual([200, 200]);

  const refused = backup();
  expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('stop the service first')]);
  expect(await service.stop()).toBe(0);
  expect(backup()).toMatchObject({ status: 0 });
  expect(backup(), 'once more, over the first').toMatchObject({ status: 0 });

  // The way back, as docs/operating.md has it.
  await rm(dataDir, { recursive: true });
  expect(spawnSync('cp', ['-a', join(copy, 'data'), dataDir]).status).toBe(0);
  expect(spawnSync('cp', ['-a', join(copy, 'store'), join(dataDir, 'store')]).status).toBe(0);
  const again = new ServiceProcess(env);
  await again.start();
  try {
    expect(await pictureOf(url, cids)).toEqual(before);
    const asLater = { authorization: `Bearer ${token}` };
    expect((await fetch(`${url}/uploads?limit=1`, { headers: asLater })).status).toBe(200);
    // It goes on from there.
    expect((await fetch(`${url}/check/${await send(url, 'three')}`)).status).toBe(200);
  } finally {
    expect(await again.stop()).toBe(0);
  }
  expect(await readdir(copy)).toEqual(['data', 'store']);
});
