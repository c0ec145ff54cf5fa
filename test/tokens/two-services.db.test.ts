import { expect, test, vi } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { silentLog } from '../../src/log/log.ts';
import { startService } from '../../src/service.ts';
import { testDatabase } from '../support/database.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const OPS = 'a-token-of-the-test';

async function start(url: string, folder: string) {
  const config = readConfig({
    DATABASE_URL: url,
    TOKEN_SECRET: 'a secret of at least thirty-two characters',
    DATA_DIR: folder,
    CHAIN_NETWORK: 'devnet',
    PORT: '0',
    ROLES: 'api',
    API_TOKENS: `operator:ops:${OPS}`,
  });
  const service = await startService(config, { log: silentLog, signal: new AbortController().signal });
  const call = (path: string, token: string, init: RequestInit = {}) =>
    fetch(`${service.url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${token}`, ...(init.body && { 'content-type': 'application/json' }) },
    });
  return { service, call };
}

test('of two services on one database, what one makes and revokes the other knows within seconds', async () => {
  await using database = await testDatabase();
  await using folder = await temporaryFolder();
  const one = await start(database.url, folder.path);
  await using _one = one.service;
  const two = await start(database.url, folder.path);
  await using _two = two.service;
  const body = JSON.stringify({ name: 'reader', role: 'read' });
  const made = await one.call('/tokens', OPS, { method: 'POST', body });
  const { id, token } = (await made.json()) as { id: string; token: string };
  expect((await two.call('/policy', token)).status).toBe(200);
  expect((await one.call(`/tokens/${id}`, OPS, { method: 'DELETE' })).status).toBe(200);
  expect((await one.call('/policy', token)).status).toBe(401);
  await vi.waitFor(async () => expect((await two.call('/policy', token)).status).toBe(401), {
    timeout: 5_000,
    interval: 100,
  });
  // The last use is written at the end at the latest.
  await Promise.all([one.service.stop(), two.service.stop()]);
  const { rows } = await database.pool.query<{ last_used_at: Date | null }>('select last_used_at from tokens');
  expect(rows).toEqual([{ last_used_at: expect.any(Date) }]);
});
