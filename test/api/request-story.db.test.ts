import { expect, test } from 'vitest';
import { levelOf } from '../../src/api/door/request-story.ts';
import { createLog } from '../../src/log/log.ts';
import { apiFixture, bearer, tokens } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';

async function loggingFixture() {
  const lines: Record<string, unknown>[] = [];
  const log = createLog('debug', { write: (line) => lines.push(JSON.parse(line)) });
  const policyChanged = async () => log.info({}, 'policy.changed');
  const fixture = await apiFixture({ server: { log, policyChanged } });
  const answered = async () => {
    await expect.poll(() => lines.some(({ event }) => event === 'request.answered')).toBe(true);
    const [found, ...more] = lines.filter(({ event }) => event === 'request.answered');
    expect(more).toEqual([]);
    lines.length = 0;
    return found;
  };
  return { fixture, log, lines, answered, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

test('one line tells who asked for what, what came of it, and how long it took; never the token', async () => {
  await using world = await loggingFixture();
  const { server } = world.fixture;
  const { car, root } = sampleUpload('a story');
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car', 'x-request-id': 'mine-7' };
  await server.inject({ method: 'POST', url: '/upload', payload: car, headers });
  expect(await world.answered()).toMatchObject({
    requestId: 'mine-7',
    method: 'POST',
    route: '/upload',
    status: 200,
    who: 'service',
    root: root.toString(),
    complete: true,
    level: 30,
    ms: expect.any(Number),
  });

  const body = { reason: 'maintenance' };
  await server.inject({ method: 'POST', url: '/providers/f09/pause', payload: body, headers: bearer(tokens.ops) });
  expect(await world.answered()).toMatchObject({
    route: '/providers/:id/pause',
    params: { id: 'f09' },
    status: 404,
    who: 'operator',
    code: 'NOT_FOUND',
  });

  await server.inject({ method: 'POST', url: '/proposing/pause', payload: body, headers: bearer(tokens.ops) });
  expect(await world.answered()).toMatchObject({ status: 200, action: 'proposing.pause', subject: 'policy' });

  await server.inject({ url: `/check/${root}`, headers: bearer('a-wrong-token') });
  const read = await world.answered();
  expect(read).toMatchObject({ level: 20, route: '/check/:cid', params: { cid: root.toString() } });
  expect(read).not.toHaveProperty('who');
  await server.inject({ url: '/nothing/here', headers: bearer('a-wrong-token') });
  const unrouted = await world.answered();
  expect(unrouted).toMatchObject({ status: 404 });
  expect(unrouted).not.toHaveProperty('params');
  expect(JSON.stringify([read, unrouted])).not.toContain('wrong-token');
});

test('lines that are written while a request is handled have its id, whose body came over a connection too', async () => {
  await using world = await loggingFixture();
  const { url } = await world.fixture.listen();
  const put = (id: string, replicas: number) =>
    fetch(`${url}/policy`, {
      method: 'PUT',
      headers: { ...bearer(tokens.ops), 'x-request-id': id, 'content-type': 'application/json' },
      body: JSON.stringify({ replicas, reason: 'x'.repeat(400) }),
    });
  const ids = ['one', 'two', 'three'];
  await Promise.all(ids.map((id, at) => put(id, at + 1)));
  await expect.poll(() => world.lines.filter(({ event }) => event === 'request.answered').length).toBe(3);
  // As a stage would write them, which knows nothing of requests.
  const within = world.lines.filter(({ event }) => event === 'policy.changed');
  expect(new Set(within.map(({ requestId }) => requestId))).toEqual(new Set(ids));
  expect(within).toHaveLength(3);
  world.log.info({}, 'outside');
  expect(world.lines.at(-1)).not.toHaveProperty('requestId');
});

test.each([
  ['GET', 200, 5, 'debug'],
  ['GET', 404, 5, 'debug'],
  ['HEAD', 200, 1_500, 'info'],
  ['POST', 200, 5, 'info'],
  ['DELETE', 401, 5, 'info'],
  ['GET', 500, 5, 'warn'],
  ['POST', 503, 5, 'warn'],
] as const)('a %s answered %i after %i ms is told at %s', (method, status, ms, level) => {
  expect(levelOf({ method, status, ms, endless: false })).toBe(level);
});

test('a stream that somebody ended is no slow answer', () => {
  expect(levelOf({ method: 'GET', status: 200, ms: 9e9, endless: true })).toBe('debug');
});
