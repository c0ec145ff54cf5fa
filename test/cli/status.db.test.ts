import { describe, expect, test, vi } from 'vitest';
import { status } from '../../src/cli/status.ts';
import type { Io } from '../../src/terminal.ts';
import { apiFixture, tokens } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { sendCar } from '../support/sealed-uploads.ts';

/** A service with one upload, and the command against it. */
async function world() {
  const fixture = await apiFixture();
  const { url } = await fixture.listen();
  const sample = sampleUpload('status');
  await sendCar(fixture, sample);
  const lines: string[] = [];
  const stop = new AbortController();
  const io: Io = {
    env: {},
    print: (line) => void lines.push(line),
    say: () => undefined,
    isTerminal: false,
    signal: stop.signal,
  };
  const runBare = (...args: string[]) => status.run([...args, '--url', url], io);
  const run = (...args: string[]) => runBare(...args, '--token', tokens.read);
  return { fixture, runBare, sample, lines, stop, run, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

describe('lading status', () => {
  test('draws a picture for a person, and gives the answer as it is to a script', async () => {
    await using all = await world();
    const cid = all.sample.root.toV0().toString();
    expect(await all.run(cid)).toBe(0);
    expect(all.lines.join('\n')).toMatch(
      new RegExp(`^${cid}\nstored    yes, .* UTC\nawaits    a place in an aggregate`),
    );
    all.lines.length = 0;
    await all.run(cid, '--json');
    expect(JSON.parse(all.lines.join('\n'))).toMatchObject({
      ok: true,
      value: { cid, pin: { status: 'pinned' }, deals: [], queueing: { reason: 'waiting_for_aggregate' } },
    });
  });

  test('needs no token, as /check does not; --watch does', async () => {
    await using all = await world();
    const cid = all.sample.root.toString();
    expect(await all.runBare(cid)).toBe(0);
    expect(all.lines[0]).toBe(cid);
    await expect(all.runBare(cid, '--watch')).rejects.toMatchObject({ code: 'TOKEN_MISSING' });
  });

  test('--watch tells what happened and what happens, until it is ended', async () => {
    await using all = await world();
    const { root, blocks } = sampleUpload('watched');
    await sendCar(all.fixture, { root, blocks: blocks.slice(0, 2) });
    const ended = all.run(root.toString(), '--watch', '--json');
    await vi.waitFor(() => expect(all.lines.length).toBeGreaterThan(1), 5_000);
    expect(all.lines.slice(1).map((line) => JSON.parse(line))).toMatchObject([{ kind: 'upload', to: 'incomplete' }]);
    await sendCar(all.fixture, { root, blocks });
    await vi.waitFor(() => expect(all.lines.length).toBeGreaterThan(2), 5_000);
    expect(JSON.parse(all.lines[2] ?? '')).toMatchObject({ cid: root.toString(), from: 'incomplete', to: 'waiting' });
    all.stop.abort();
    expect(await ended).toBe(0);
  });

  test('an unknown upload, what is no CID, and a service that is not there are told', async () => {
    await using all = await world();
    await expect(all.run('bafkqaaa')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(all.run('bafkqaaa', '--watch')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(all.run('nonsense')).rejects.toMatchObject({ code: 'INVALID_CID' });
    await expect(all.run()).rejects.toMatchObject({ code: 'USAGE' });
    const io = { env: {}, print: () => undefined, say: () => undefined, isTerminal: false, signal: all.stop.signal };
    const nowhere = ['bafkqaaa', '--url', 'http://127.0.0.1:9', '--token', 'x'];
    await expect(status.run(nowhere, io)).rejects.toMatchObject({
      code: 'SERVICE_UNREACHABLE',
      message: expect.stringContaining('is the service running?'),
    });
  });
});
