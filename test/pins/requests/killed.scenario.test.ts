import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { freePort } from '../../scenario/network.ts';
import { header, pbNode, rawBlock, section } from '../../support/car-builder.ts';
import { ServiceProcess } from '../../support/service-process.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { startOrigin, type Fault } from './block-origin.ts';

const TOKEN = 'an-upload-token';

test('a service that is stopped, and one that is killed, goes on with what it was fetching', async () => {
  const leaves = Array.from({ length: 150 }, () => rawBlock(randomBytes(2_000)));
  const root = pbNode(leaves);
  const blocks = [root, ...leaves];
  /** How many leaves the origin gives, one way or the other, before it gives nothing more. */
  let giving = 50;
  const halts: Fault = async ({ format, cid, response }) => {
    if (giving === Infinity) return false;
    if (format === 'raw') {
      if (leaves.findIndex((one) => one.cid.equals(cid)) < giving) return false;
      await delay(1_000);
      response.writeHead(404).end();
      return true;
    }
    response.write(header({ roots: [root.cid], version: 1 }));
    for (const block of blocks.slice(0, giving + 1)) response.write(section(block));
    // And then it says no more.
    return true;
  };
  await using origin = await startOrigin(blocks, halts);
  await using folder = await temporaryFolder();
  const port = await freePort();
  const service = new ServiceProcess({
    API_TOKENS: `somebody:upload:${TOKEN}`,
    DATA_DIR: folder.path,
    PORT: String(port),
    LADING_PULL_ALLOW: 'all',
  });
  const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
  const call = async (path: string, body?: object) => {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers, ...init });
    return (await answer.json()) as { requestid: string; status: string; info?: { status_details?: string } };
  };
  try {
    await service.start();
    const { requestid } = await call('/pins', { cid: root.cid.toString(), origins: [origin.url] });
    await expect.poll(() => origin.asked.length).toBe(1);
    await delay(500);
    expect(await service.stop()).toBe(0);

    giving = 100;
    origin.asked.length = 0;
    await service.start();
    const halfway = await call(`/pins/${requestid}`);
    expect(['queued', 'pinning']).toContain(halfway.status);
    expect(halfway.info?.status_details).toContain('100 blocks known to be missing');
    await expect.poll(() => origin.asked.length, { timeout: 30_000 }).toBeGreaterThan(20);
    await service.kill();

    giving = Infinity;
    await service.start();
    await expect.poll(async () => (await call(`/pins/${requestid}`)).status, { timeout: 60_000 }).toBe('pinned');
    const first = new Set([root, ...leaves.slice(0, 50)].map(({ cid }) => cid.toString()));
    expect(origin.asked.filter((line) => first.has(line.split(' ')[1] ?? ''))).toEqual([]);
  } catch (error) {
    throw new Error(service.log, { cause: error });
  } finally {
    await service.kill();
  }
});
