import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { readConfig } from '../src/config.ts';
import { silentLog } from '../src/log/log.ts';
import { startService } from '../src/service.ts';
import { testDatabase } from './support/database.ts';
import { serveRpc } from './support/rpc-server.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

async function setting(env: Record<string, string>) {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await testDatabase());
  const folder = stack.use(await temporaryFolder());
  const config = readConfig({
    API_TOKENS: 'operator:ops:a-token-of-the-test',
    DATABASE_URL: database.url,
    TOKEN_SECRET: 'a secret of at least 32 characters',
    DATA_DIR: folder.path,
    PORT: '0',
    ...env,
  });
  return { config, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('a taken port is told with what to do, and nothing is left running', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as AddressInfo;
  const using = await setting({ PORT: String(port) });
  const starting = startService(using.config, { log: silentLog, signal: new AbortController().signal });
  await expect(starting).rejects.toMatchObject({
    code: 'LISTEN_FAILED',
    message: expect.stringContaining('PORT') as string,
  });
  // The test database is dropped here, which it cannot be while anybody is connected.
  await using[Symbol.asyncDispose]();
  await new Promise((resolve) => other.close(resolve));
});

test('a start that is called off does not wait for a chain that does not answer', async () => {
  await using silent = await serveRpc(() => undefined);
  await using own = await setting({ CHAIN_RPC_URL: silent.url });
  const stop = new AbortController();
  const starting = startService(own.config, { log: silentLog, signal: stop.signal });
  await expect.poll(() => silent.requests.length).toBe(1);
  const startedAt = Date.now();
  stop.abort();
  await (await starting).stop();
  expect(Date.now() - startedAt).toBeLessThan(10_000);
});
