import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { silentLog } from '../../src/log/log.ts';
import { startService } from '../../src/service.ts';
import { startOrigin } from '../pins/requests/block-origin.ts';
import { pbNode, rawBlock } from '../support/car-builder.ts';
import { testDatabase } from '../support/database.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** What is called of @ipfs-shipyard/pinning-service-client (npm, 3.0), which has no types where it is not installed. */
interface Pin {
  cid: string;
  name?: string;
  origins?: string[];
  meta?: Record<string, string>;
}

interface PinStatus {
  requestid: string;
  status: string;
  created: Date;
  pin: Pin;
  delegates: string[];
  info?: Record<string, string>;
}

interface ListOptions {
  cid?: string[];
  name?: string;
  match?: string;
  status?: string[];
  before?: Date;
  after?: Date;
  limit?: number;
  meta?: object;
}

interface Client {
  pinsGet(options?: ListOptions): Promise<{ count: number; results: Iterable<PinStatus> }>;
  pinsPost(given: { pin: Pin }): Promise<PinStatus>;
  pinsRequestidGet(given: { requestid: string }): Promise<PinStatus>;
  pinsRequestidPost(given: { requestid: string; pin: Pin }): Promise<PinStatus>;
  pinsRequestidDelete(given: { requestid: string }): Promise<void>;
}

interface Library {
  Configuration: new (options: { endpointUrl: string; accessToken: string }) => object;
  RemotePinningServiceClient: new (config: object) => Client;
}

const ENTRY = fileURLToPath(
  new URL('node_modules/@ipfs-shipyard/pinning-service-client/dist/src/index.js', import.meta.url),
);
const isInstalled = existsSync(ENTRY);
if (!isInstalled)
  console.error(
    '!!! THE PINNING SERVICE CLIENT IS NOT TESTED: npm ci --prefix test/compat --ignore-scripts installs it',
  );

const TOKEN = 'an-upload-token';

async function world() {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await testDatabase());
  const folder = stack.use(await temporaryFolder());
  const config = readConfig({
    API_TOKENS: `somebody:upload:${TOKEN},reader:read:a-reading-token`,
    DATABASE_URL: database.url,
    TOKEN_SECRET: 'a secret of at least 32 characters',
    DATA_DIR: folder.path,
    PORT: '0',
    LADING_PULL_ALLOW: 'all',
  });
  const service = stack.use(await startService(config, { log: silentLog, signal: new AbortController().signal }));
  return { url: service.url ?? '', [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

describe.skipIf(!isInstalled)('@ipfs-shipyard/pinning-service-client, unmodified', () => {
  let library: Library;
  beforeAll(async () => {
    library = (await import(ENTRY)) as Library;
  });

  const clientOf = (endpointUrl: string, accessToken = TOKEN) =>
    new library.RemotePinningServiceClient(new library.Configuration({ endpointUrl, accessToken }));
  const idsOf = ({ results }: { results: Iterable<PinStatus> }) => [...results].map(({ requestid }) => requestid);

  test('add, get, list by every filter, replace, delete', async () => {
    const leaves = [rawBlock(randomBytes(10_000)), rawBlock(randomBytes(10_000))];
    const root = pbNode(leaves);
    await using origin = await startOrigin([root, ...leaves]);
    await using service = await world();
    const client = clientOf(service.url);
    const cid = root.cid.toString();
    const meta = { app_id: '7' };
    const made = await client.pinsPost({ pin: { cid, name: 'Data.bin', origins: [origin.url], meta } });
    expect(made).toMatchObject({ pin: { cid, name: 'Data.bin', origins: [origin.url], meta }, delegates: [] });
    expect(made.created).toBeInstanceOf(Date);
    const { requestid } = made;
    await expect.poll(async () => (await client.pinsRequestidGet({ requestid })).status).toBe('pinned');
    const later = await client.pinsPost({
      pin: { cid: leaves[0]?.cid.toString() ?? '', name: 'other', origins: [origin.url] },
    });
    await expect.poll(async () => (await client.pinsGet({ status: ['pinned'] })).count).toBe(2);
    const expected: [ListOptions, string[]][] = [
      [{}, [later.requestid, requestid]],
      [{ limit: 1 }, [later.requestid]],
      [{ cid: [cid] }, [requestid]],
      [{ cid: [cid, later.pin.cid] }, [later.requestid, requestid]],
      [{ status: ['queued', 'pinning', 'failed'] }, []],
      [{ name: 'Data.bin' }, [requestid]],
      [{ name: 'data.BIN', match: 'iexact' }, [requestid]],
      [{ name: 'ata', match: 'partial' }, [requestid]],
      [{ name: 'OTH', match: 'ipartial' }, [later.requestid]],
      [{ before: later.created }, [requestid]],
      [{ after: made.created }, [later.requestid]],
      [{ meta }, [requestid]],
      [{ meta: { app_id: '8' } }, []],
    ];
    for (const [options, ids] of expected)
      expect([options, idsOf(await client.pinsGet(options))]).toEqual([options, ids]);
    const replaced = await client.pinsRequestidPost({ requestid: later.requestid, pin: { cid, name: 'again' } });
    expect(replaced.status).toBe('pinned');
    await client.pinsRequestidDelete({ requestid });
    expect(idsOf(await client.pinsGet())).toEqual([replaced.requestid]);
    await client.pinsRequestidDelete({ requestid: replaced.requestid });
    expect((await client.pinsGet()).count).toBe(0);
  });

  test('errors, as the client hands them on', async () => {
    await using service = await world();
    const pin = { cid: 'no-cid' };
    const cases: [() => Promise<unknown>, number, string][] = [
      [() => clientOf(service.url, 'none-of-ours').pinsGet(), 401, 'UNAUTHORIZED'],
      [() => clientOf(service.url, 'a-reading-token').pinsGet(), 403, 'FORBIDDEN'],
      [() => clientOf(service.url).pinsPost({ pin }), 400, 'INVALID_CID'],
      [() => clientOf(service.url).pinsRequestidGet({ requestid: 'x' }), 404, 'NOT_FOUND'],
      [() => clientOf(service.url).pinsRequestidDelete({ requestid: 'x' }), 404, 'NOT_FOUND'],
      [() => clientOf(service.url).pinsGet({ limit: 5_000 }), 400, 'BAD_REQUEST'],
    ];
    for (const [call, status, reason] of cases) {
      // It throws the answer itself.
      const thrown = await call().catch((answer: unknown) => answer);
      if (!(thrown instanceof Response)) throw new Error(`no answer was thrown for ${reason}`);
      expect([thrown.status, await thrown.json()]).toEqual([
        status,
        { error: { reason, details: expect.any(String) as string } },
      ]);
    }
  });
});
