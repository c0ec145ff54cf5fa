import { describe, expect, it } from 'vitest';
import { devnet } from '../../src/cli/devnet.ts';
import type { Io } from '../../src/terminal.ts';

const io: Io = {
  env: {},
  print: () => undefined,
  say: () => undefined,
  isTerminal: false,
  signal: AbortSignal.abort(),
};

describe('lading devnet --faults', () => {
  it.each([
    ['{"f01000":{"hnag":true}}', /f01000: no provider knob is called hnag/],
    ['{"f01001":{"hang":1}}', /f01001: provider knob hang takes a boolean/],
    ['{"f01000":[]}', /f01000: a provider fault is an object/],
    ['{"f09":{}}', /there is no provider f09/],
    ['[]', /takes a JSON object/],
    ['{', /takes JSON such as/],
  ])('refuses %s by name', async (faults, message) => {
    const run = devnet.run(['--port', '0', '--providers', '2', '--faults', faults], io);
    await expect(run).rejects.toMatchObject({ code: 'USAGE', message: expect.stringMatching(message) });
  });
});
