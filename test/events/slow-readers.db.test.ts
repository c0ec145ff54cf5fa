import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { apiFixture, bearer, tokens } from '../support/api-fixture.ts';
import { untilReadable } from './event-rows.ts';
import { EventReader } from './event-reader.ts';
import { rootAt, seedLarge } from './large-aggregate.ts';

const COUNT = 30_000;

async function open(url: string): Promise<IncomingMessage> {
  const call = request(`${url}/events?after=0&kind=deal`, { headers: bearer(tokens.ops), agent: false }).end();
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  return response;
}

test('a reader that stops is not waited for in memory, is cut off, and gets all of it when it comes back', async () => {
  await using fixture = await apiFixture({ server: { eventLimits: { heartbeatMs: 100, slowMs: 500, tickMs: 10 } } });
  const { url } = await fixture.listen();
  await seedLarge(fixture.database, COUNT);
  await untilReadable(fixture.kysely);
  const stuck = await open(url);
  // Nobody reads: what the sockets and one page hold is all that is ever taken from the database for it.
  const before = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
  const connections = () =>
    new Promise((resolve) => fixture.server.server.getConnections((_, count) => resolve(count)));
  await expect.poll(connections, { timeout: 10_000 }).toBe(0);
  stuck.destroy();
  expect(process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed - before).toBeLessThan(60 * 2 ** 20);
  await using again = await EventReader.open(url, { token: tokens.ops, query: '?after=0&kind=deal' });
  await expect.poll(() => again.changes.length, { timeout: 20_000 }).toBe(COUNT);
  expect(again.changes.at(-1)?.cid).toBe(rootAt(COUNT - 1));
});

test('who hangs up before the answer leaves nothing behind', async () => {
  await using fixture = await apiFixture({ server: { eventLimits: { subscribers: 3, tickMs: 10 } } });
  const { url, port } = await fixture.listen();
  for (let at = 0; at < 20; at += 1) {
    const socket = connect(port, '127.0.0.1');
    socket.write(`GET /events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${tokens.ops}\r\n\r\n`);
    await once(socket, 'connect');
    if (at % 2 === 0) socket.destroy();
    else socket.end(() => socket.destroy());
  }
  await expect
    .poll(
      async () => {
        try {
          await using one = await EventReader.open(url, { token: tokens.ops });
          await using two = await EventReader.open(url, { token: tokens.ops });
          await using three = await EventReader.open(url, { token: tokens.ops });
          return [one, two, three].length;
        } catch {
          return 'full';
        }
      },
      { timeout: 5_000 },
    )
    .toBe(3);
});
