import { expect, test } from 'vitest';
import { readConfig } from '../src/config.ts';
import { createLog } from '../src/log/log.ts';
import { secretsOf } from '../src/log/redact.ts';
import { startService } from '../src/service.ts';
import { sampleUpload } from './support/car-builder.ts';
import { testDatabase } from './support/database.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const OPS = 'an-ops-token-of-the-test';
const UPLOAD = 'an-upload-token-of-the-test';

async function runningService() {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await testDatabase());
  const folder = stack.use(await temporaryFolder());
  const env = {
    API_TOKENS: `operator:ops:${OPS},service:upload:${UPLOAD}`,
    DATABASE_URL: database.url,
    TOKEN_SECRET: 'a secret of at least 32 characters',
    DATA_DIR: folder.path,
    MIN_FREE_SPACE: '0',
    PORT: '0',
  };
  const lines: string[] = [];
  const log = createLog('debug', { secrets: secretsOf(env), write: (line) => lines.push(line) });
  const service = stack.use(await startService(readConfig(env), { log, signal: new AbortController().signal }));
  const call = async (method: string, path: string, body?: object) => {
    const response = await fetch(`${service.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${OPS}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, text: await response.text() };
  };
  const send = async (seed: string) => {
    const { car, root } = sampleUpload(seed);
    const headers = { authorization: `Bearer ${UPLOAD}`, 'content-type': 'application/car' };
    await fetch(`${service.url}/upload`, { method: 'POST', body: new Uint8Array(car), headers });
    return root.toString();
  };
  return { env, lines, call, send, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('a pause is seen wherever a person would look, keeps no service from being ready, and its log holds no secret', async () => {
  await using world = await runningService();
  const { call } = world;
  const before = JSON.parse((await call('GET', '/readyz')).text);
  expect(before).not.toHaveProperty('notices');
  expect((await call('POST', '/proposing/pause', { reason: 'a bad node' })).status).toBe(200);
  const root = await world.send('while paused');

  const ready = JSON.parse((await call('GET', '/readyz')).text);
  expect(ready.checks).toEqual(before.checks);
  expect(ready.notices.proposing).toMatch(/^paused since \d{4}-/);
  expect(JSON.parse((await call('GET', `/check/${root}`)).text).value.queueing.why[0].code).toBe('proposing_off');
  const metrics = (await call('GET', '/metrics')).text;
  expect(metrics).toMatch(/^lading_proposing_paused 1$/m);
  expect(metrics).toMatch(/^lading_store_operation_duration_seconds_count\{operation="commit",outcome="done"\} [1-9]/m);
  expect(JSON.parse((await call('GET', '/proposing')).text)).toMatchObject({ by: 'operator', reason: 'a bad node' });

  const events = world.lines.map((line) => JSON.parse(line));
  expect(events.every(({ event }) => /^[a-z_]+\.[a-z_]+$/.test(event))).toBe(true);
  const [pause] = events.filter(({ route }) => route === '/proposing/pause');
  expect(pause).toMatchObject({ event: 'request.answered', who: 'operator', action: 'proposing.pause' });
  for (const secret of secretsOf(world.env)) expect(world.lines.join('')).not.toContain(secret);
});
