import { writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readConfig } from '../src/config.ts';
import { silentLog } from '../src/log/log.ts';
import { openDatabase } from '../src/open-database.ts';
import { testDatabase } from './support/database.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const options = { log: silentLog, signal: new AbortController().signal };
const open = (env: Record<string, string>) => openDatabase(readConfig(env, 'tool'), options);

async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('a database that cannot be reached is named by its variable, without its password', async () => {
  const urls = [
    `postgres://lading:hunter2@127.0.0.1:${await closedPort()}/x`,
    'postgres://lading:hunter2/@host:99999/x',
  ];
  for (const DATABASE_URL of urls) {
    const fault = await open({ DATABASE_URL }).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(fault).toMatchObject({
      code: 'DATABASE_UNUSABLE',
      message: expect.stringContaining('DATABASE_URL') as string,
    });
    expect(String(fault)).not.toContain('hunter2');
  }
});

test('a data folder that cannot be one is named by its variable', async () => {
  await using folder = await temporaryFolder();
  const DATA_DIR = join(folder.path, 'file');
  await writeFile(DATA_DIR, '');
  await expect(open({ DATA_DIR })).rejects.toMatchObject({
    code: 'DATA_DIR_UNUSABLE',
    message: expect.stringContaining(`DATA_DIR=${DATA_DIR}`) as string,
  });
});

test('a database that is given is not ours alone', async () => {
  await using given = await testDatabase();
  await using database = await open({ DATABASE_URL: given.url });
  expect(database.soleOwner).toBe(false);
});
