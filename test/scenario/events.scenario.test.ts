import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Change } from '../../src/events/change.ts';
import { EventReader } from '../events/event-reader.ts';
import { seedUploads } from '../events/event-rows.ts';
import { rootAt } from '../events/large-aggregate.ts';
import { isSigned, webhookReceiver } from '../events/webhook-receiver.ts';
import { bearer } from '../support/api-fixture.ts';
import { testDatabase } from '../support/database.ts';
import { ServiceProcess } from '../support/service-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const OPS = 'a-token-of-operators';
const CHANGES = 300;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Two service processes on one database. */
async function world() {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await testDatabase());
  const processes: { url: string; process: ServiceProcess }[] = [];
  for (const _ of [1, 2]) {
    const folder = stack.use(await temporaryFolder());
    const port = await freePort();
    const process = new ServiceProcess({
      API_TOKENS: `operator:ops:${OPS}`,
      DATABASE_URL: database.url,
      TOKEN_SECRET: 'a secret of at least 32 characters',
      DATA_DIR: folder.path,
      ROLES: 'api',
      PORT: String(port),
      LADING_WEBHOOK_ALLOW_PRIVATE: 'true',
      LOG_LEVEL: 'warn',
    });
    stack.defer(async () => void (await process.stop()));
    await process.start();
    processes.push({ url: `http://127.0.0.1:${port}`, process });
  }
  return { database, processes, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function register(url: string, to: string): Promise<{ id: string; secret: string }> {
  const headers = { ...bearer(OPS), 'content-type': 'application/json' };
  const response = await fetch(`${url}/webhooks`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ url: to, after: '0' }),
  });
  expect(response.status).toBe(201);
  return (await response.json()) as { id: string; secret: string };
}

/** In the order of their first arrival, and that order kept for each upload, however often a change came. */
function firstTimes(changes: readonly Change[]): string[] {
  return [...new Set(changes.map(({ cid }) => cid))];
}

test('services that are killed in the middle lose no change for readers and webhooks, and no dead receiver stops another', async () => {
  await using all = await world();
  const [one, two] = all.processes;
  if (one === undefined || two === undefined) throw new Error('no processes');
  await using receiver = await webhookReceiver();
  await using dead = await webhookReceiver();
  dead.state.answer = 'hang';
  const { secret } = await register(one.url, receiver.url);
  await register(two.url, dead.url);
  await using reader = await EventReader.open(two.url, { token: OPS });
  const roots = Array.from({ length: CHANGES }, (_, at) => rootAt(at));
  const writing = (async () => {
    for (const root of roots) {
      await seedUploads(all.database.kysely, [root]);
      await delay(10);
    }
  })();
  for (const victim of [one, two, one]) {
    await delay(700);
    await victim.process.kill();
    // Who was killed held the leases, maybe: their time is not waited for here.
    await all.database.pool.query(`update webhooks set leased_until = now() where leased_by is not null`);
    await victim.process.start();
  }
  await writing;
  await expect
    .poll(() => firstTimes(receiver.calls.flatMap(({ changes }) => changes)), { timeout: 30_000 })
    .toEqual(roots);
  expect(receiver.calls.every((call) => isSigned(call, secret))).toBe(true);
  // The reader's process was killed: it comes back to the other with the last id that it saw.
  const lastId = reader.ids.at(-1);
  await using again = await EventReader.open(one.url, {
    token: OPS,
    ...(lastId === undefined ? { query: '?after=0' } : { lastId }),
  });
  await expect
    .poll(() => [...reader.changes, ...again.changes].map(({ cid }) => cid), { timeout: 30_000 })
    .toEqual(roots);
  expect(dead.calls.length).toBeGreaterThan(0);
});
