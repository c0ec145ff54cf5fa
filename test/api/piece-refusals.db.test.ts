import { connect } from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { MAX_CONNECTIONS_PER_PROVIDER } from '../../src/api/pieces/piece-limits.ts';
import { apiFixture, pieceTokens, tokens, bearer } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { PIECE_CID, seedAggregate, seedDeal } from '../support/seed-rows.ts';

type Fixture = Awaited<ReturnType<typeof apiFixture>>;

/** A piece of a few MiB with an accepted deal at each of two providers; answers their tokens. */
async function twoDeals(fixture: Fixture): Promise<string[]> {
  const { car, root } = sampleUpload('large', 4);
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  await fixture.server.inject({ method: 'POST', url: '/upload', payload: car, headers });
  const tree = Buffer.alloc(24 * 2 ** 20);
  const { id: aggregateId } = await seedAggregate(fixture.kysely, fixture.store, { roots: [root.toString()], tree });
  const ids: string[] = [];
  for (const [slot, provider] of ['f01000', 'f01001'].entries())
    ids.push(await seedDeal(fixture.kysely, { aggregateId, slot, provider, state: 'accepted' }));
  return ids.map((id) => pieceTokens.tokenFor(id));
}

/** Asks for the whole piece, and reads nothing of it once it has begun to come. */
async function askAndWait(port: number, token: string) {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  const begun = once(socket, 'data');
  socket.write(`GET /piece/${PIECE_CID} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  await begun;
  socket.pause();
  return socket;
}

test('a provider that opens all its connections and reads nothing is refused more, and holds up nobody', async () => {
  await using fixture = await apiFixture({});
  const [greedy = '', other = ''] = await twoDeals(fixture);
  const { port, url } = await fixture.listen();
  const get = (token: string) =>
    fetch(`${url}/piece/${PIECE_CID}`, { headers: { authorization: `Bearer ${token}`, range: 'bytes=0-9' } });
  const sockets: Awaited<ReturnType<typeof askAndWait>>[] = [];
  for (let at = 0; at < MAX_CONNECTIONS_PER_PROVIDER; at += 1) sockets.push(await askAndWait(port, greedy));
  try {
    const refused = await get(greedy);
    expect(refused.status).toBe(503);
    // Nothing of the answer that there is not, above all nothing that may be kept.
    for (const name of ['etag', 'content-range', 'cache-control'])
      expect([name, refused.headers.get(name)]).toEqual([name, null]);
    expect(await refused.json()).toMatchObject({ code: 'TOO_MANY_CONNECTIONS' });
    const served = await get(other);
    expect([served.status, (await served.arrayBuffer()).byteLength]).toEqual([206, 10]);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  await expect.poll(async () => (await get(greedy)).status, { timeout: 20_000, interval: 300 }).toBe(206);
}, 90_000);

test('a connection that reads nothing is cut off once nothing moved for the idle time', async () => {
  await using fixture = await apiFixture({ server: { timeouts: { idleMs: 1_000 } } });
  const [greedy = ''] = await twoDeals(fixture);
  const { port } = await fixture.listen();
  const socket = await askAndWait(port, greedy);
  // Paused, it does not see its own end; the server does.
  const open = () => new Promise<number>((done) => fixture.server.server.getConnections((_, count) => done(count)));
  await expect.poll(open, { timeout: 20_000, interval: 200 }).toBe(0);
  socket.resume();
  await once(socket, 'close');
  expect(socket.bytesRead).toBeGreaterThan(0);
  expect(socket.bytesRead).toBeLessThan(24 * 2 ** 20);
}, 60_000);
