import { expect, test, vi } from 'vitest';
import { events } from '../../src/cli/events.ts';
import type { Io } from '../../src/terminal.ts';
import { apiFixture, tokens } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { sendCar } from '../support/sealed-uploads.ts';

test('lading events follows what happens, from an event on, as lines or as JSON, until it is ended', async () => {
  await using fixture = await apiFixture();
  const { url } = await fixture.listen();
  const [one, two] = [sampleUpload('one'), sampleUpload('two')];
  const run = (...args: string[]) => {
    const lines: string[] = [];
    const stop = new AbortController();
    const io: Io = {
      env: {},
      print: (line) => void lines.push(line),
      say: () => undefined,
      isTerminal: false,
      signal: stop.signal,
    };
    const ended = events.run([...args, '--url', url, '--token', tokens.upload], io);
    return { lines, end: () => (stop.abort(), ended) };
  };
  await sendCar(fixture, one);
  const all = run('--after', '0', '--json');
  await vi.waitFor(() => expect(all.lines).toHaveLength(1), 5_000);
  const { id, ...change } = JSON.parse(all.lines[0] ?? '');
  expect(change).toMatchObject({ cid: one.root.toString(), kind: 'upload', from: null, to: 'waiting' });
  const rest = run('--after', id, '--cid', two.root.toString(), '--cid', one.root.toString(), '--state', 'waiting');
  await sendCar(fixture, two);
  await vi.waitFor(() => expect(all.lines).toHaveLength(2), 5_000);
  await vi.waitFor(() => expect(rest.lines).toHaveLength(1), 5_000);
  expect(rest.lines[0]).toMatch(new RegExp(`^\\d+-0  ${two.root}  .* UTC  upload: waiting$`));
  expect(await all.end()).toBe(0);
  expect(await rest.end()).toBe(0);
  await expect(run('--after', '999-9').end()).resolves.toBe(0);
  await expect(events.run(['--after', '999-9', '--url', url, '--token', tokens.read], ioless())).rejects.toThrow(
    /never an event/,
  );
});

function ioless(): Io {
  const { signal } = new AbortController();
  return { env: {}, print: () => undefined, say: () => undefined, isTerminal: false, signal };
}
