import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { freePort } from '../scenario/network.ts';
import { ServiceProcess } from '../support/service-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { halted, someCar } from './pull-world.ts';

const TOKEN = 'token-for-the-test';
const LIMIT_MS = 90_000;

test(
  'a service that is killed in the middle of a pull goes on from there, by itself',
  async () => {
    await using folder = await temporaryFolder();
    const port = await freePort();
    const { bytes, root } = someCar(60, 200_000);
    const half = 6_000_000;
    await using server = await halted(bytes, half);
    const service = new ServiceProcess({
      DATA_DIR: folder.path,
      PORT: String(port),
      ROLES: 'api,aggregate',
      API_TOKENS: `service:upload:${TOKEN}`,
      LADING_PULL_ALLOW: '127.0.0.0/8',
    });
    const ask = async (path: string, init: RequestInit = {}) => {
      const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
      return (await (await fetch(`http://127.0.0.1:${port}${path}`, { headers, ...init })).json()) as Record<
        string,
        unknown
      >;
    };
    await service.start();
    try {
      const { id } = await ask('/uploads', { method: 'POST', body: JSON.stringify({ url: `${server.url}/some.car` }) });
      const spool = join(folder.path, 'pulls', `${id}.part`);
      const spooled = () =>
        stat(spool).then(
          ({ size }) => size,
          () => 0,
        );
      await expect.poll(spooled, { timeout: 20_000 }).toBe(half);
      await service.kill();
      expect(await spooled()).toBe(half);
      await service.start();
      await expect.poll(async () => (await ask(`/uploads/pulls/${id}`)).state, { timeout: 40_000 }).toBe('pulled');
      expect(await ask(`/uploads/pulls/${id}`)).toMatchObject({ cid: root, pulled: bytes.length, size: bytes.length });
      expect(server.asked.map(({ headers }) => headers.range)).toEqual([undefined, `bytes=${half}-`]);
      expect(await ask(`/check/${root}`)).toMatchObject({ ok: true, value: { pin: { status: 'pinned' } } });
      expect(await spooled()).toBe(0);
    } catch (error) {
      throw new Error(`the service wrote:\n${service.log}`, { cause: error });
    } finally {
      await service.stop();
    }
  },
  LIMIT_MS,
);
