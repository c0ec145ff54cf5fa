import { randomBytes } from 'node:crypto';
import { BadInput, describeError } from '../errors.ts';
import { createDevnet } from '../devnet/devnet.ts';
import { parsePersonaPatch, type PersonaPatch } from '../devnet/provider/provider-persona.ts';
import { parseCommand, toJson, type Command } from './command.ts';

const usage =
  'devnet [--port 1234] [--rpc-nodes 1] [--providers 5] [--epoch-ms 1000] [--faults JSON] [--data-dir DIR] [--json]';

const options = {
  port: { type: 'string', default: '1234' },
  'rpc-nodes': { type: 'string', default: '1' },
  providers: { type: 'string', default: '5' },
  'epoch-ms': { type: 'string', default: '1000' },
  faults: { type: 'string' },
  'data-dir': { type: 'string' },
  seed: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

const MAX_PROVIDERS = 100;
const MAX_RPC_NODES = 16;
const MAX_EPOCH_MS = 3_600_000;

function whole(text: string, name: string, { min, max }: { min: number; max: number }): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new BadInput('USAGE', `${name}: '${text}' is not a whole number from ${min} to ${max}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new BadInput('USAGE', '--faults takes JSON such as {"f01000":{"hang":true}}', { cause });
  }
}

/**
 * So many providers, from f01000 on, with the faults that are given: `{"f01000":{"hang":true},…}`, knobs by provider, as
 * POST /devnet/faults takes them under "provider".
 */
function personasOf(count: number, text: string | undefined): PersonaPatch[] {
  const faults = parseJson(text ?? '{}');
  if (typeof faults !== 'object' || faults === null || Array.isArray(faults))
    throw new BadInput('USAGE', '--faults takes a JSON object such as {"f01000":{"hang":true}}');
  const ids = Array.from({ length: count }, (_, at) => `f0${1_000 + at}`);
  const strange = Object.keys(faults).find((id) => !ids.includes(id));
  if (strange !== undefined) throw new BadInput('USAGE', `--faults: there is no provider ${strange}`);
  const given = new Map<string, unknown>(Object.entries(faults));
  return ids.map((id) => {
    try {
      return parsePersonaPatch(given.get(id) ?? {});
    } catch (cause) {
      throw new BadInput('USAGE', `--faults: ${id}: ${describeError(cause)}`, { cause });
    }
  });
}

export const devnet: Command = {
  usage,
  summary: 'a Filecoin of your own on loopback: chain, Lotus RPC, control door, storage providers',
  async run(args, io) {
    const { values } = parseCommand(args, usage, options);
    const count = whole(values.providers, '--providers', { min: 0, max: MAX_PROVIDERS });
    const personas = personasOf(count, values.faults);
    await using network = await createDevnet({
      personas,
      port: whole(values.port, '--port', { min: 0, max: 65_535 }),
      rpcNodes: whole(values['rpc-nodes'], '--rpc-nodes', { min: 1, max: MAX_RPC_NODES }),
      epochMs: whole(values['epoch-ms'], '--epoch-ms', { min: 10, max: MAX_EPOCH_MS }),
      seed: values.seed ?? randomBytes(8).toString('hex'),
      ...(values['data-dir'] !== undefined && { dir: values['data-dir'] }),
    });
    const { rpcUrl, rpcUrls, url } = network;
    const providers = network.providers.map(({ id, peerId, multiaddrs }) => ({ id, peerId, multiaddrs }));
    if (values.json) io.print(toJson({ rpcUrl, rpcUrls, doorUrl: `${url}/devnet`, providers }));
    else {
      for (const each of rpcUrls) io.print(`chain RPC     ${each}\ncontrol door  ${new URL('/devnet', each).href}`);
      for (const { id, peerId, multiaddrs } of providers)
        io.print(`provider      ${id}  ${multiaddrs[0]}/p2p/${peerId}`);
      io.say('\nCtrl-C ends it');
    }
    if (!io.signal.aborted) await new Promise((done) => io.signal.addEventListener('abort', done, { once: true }));
    return 0;
  },
};
