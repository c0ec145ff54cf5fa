import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packSamples } from '../../src/demo/sample-files.ts';
import { startWorld, UPLOAD_TOKEN, type World } from '../scenario/world.ts';
import { ServiceProcess } from '../support/service-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { findSchemathesis } from './find-schemathesis.ts';

// Schemathesis over the document of a service that has uploads, aggregates and deals, as every kind of caller.

const HERE = fileURLToPath(new URL('.', import.meta.url));
/** A whole number. */
const SEED = process.env['LADING_SEED'] ?? '20260301';
const CAR_FILE = 'sample.car';
const UPLOADS = 6;
const LARGEST_BYTES = 3 * 2 ** 20;
/** How long the first deals may take until the callers begin. */
const DEALS_MS = 20_000;
const READ_TOKEN = 'reading-token-of-the-test';
const OPS_TOKEN = 'operator-token-of-the-test';

/** The time is looked at between phases: more than this above it is a fault. */
const GRACE_SECONDS = 90;

interface CallerRun {
  name: string;
  token: string;
  examples: number;
  seconds: number;
}

/** The operator may call everything, so its is the longest run; the last meets what callers of less may not do. */
const callers: readonly CallerRun[] = [
  { name: 'ops', token: OPS_TOKEN, examples: 12, seconds: 65 },
  { name: 'upload', token: UPLOAD_TOKEN, examples: 6, seconds: 35 },
  { name: 'read', token: READ_TOKEN, examples: 4, seconds: 20 },
];

/** Leaves the last CAR where hooks.py finds it. */
async function fill(world: World, carFile: string): Promise<void> {
  await world.prepare();
  for await (const sample of packSamples({ seed: SEED, count: UPLOADS })) {
    if (sample.bytes > LARGEST_BYTES) continue;
    const response = await world.upload(sample);
    await writeFile(carFile, sample.car);
    if (!response.ok) throw new Error(`the upload ${sample.name}: ${response.status} ${await response.text()}`);
  }
  const deadline = Date.now() + DEALS_MS;
  while (Date.now() < deadline && (await first(world, '/deals', 'id')) === undefined) {
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Names of things that are there, for schemathesis.toml. */
async function knownNames(world: World): Promise<Record<string, string>> {
  const names = {
    KNOWN_DEAL: await first(world, '/deals', 'id'),
    KNOWN_AGGREGATE: await first(world, '/aggregates?state=sealed', 'id'),
    KNOWN_PIECE: await first(world, '/aggregates?state=sealed', 'pieceCid'),
    KNOWN_PROVIDER: await first(world, '/providers', 'id'),
    KNOWN_CID: await first(world, '/uploads', 'cid'),
  };
  return Object.fromEntries(Object.entries(names).filter((pair): pair is [string, string] => pair[1] !== undefined));
}

async function first(world: World, path: string, member: string): Promise<string | undefined> {
  const response = await world.get(path);
  const text = await response.text();
  return response.ok ? new RegExp(`"${member}":"([^"]+)"`).exec(text)?.[1] : undefined;
}

/** The configuration with the names in it: Schemathesis itself puts none into its dictionaries. */
async function writeConfig(world: World, file: string): Promise<void> {
  const names = await knownNames(world);
  const template = await readFile(join(HERE, 'schemathesis.toml'), 'utf8');
  await writeFile(
    file,
    template.replaceAll(/\$\{(\w+)\}/g, (_all, name: string) => names[name] ?? 'none'),
  );
}

/** In a folder that has its configuration. True where nothing was found. */
async function callAs(schemathesis: string, url: string, folder: string, caller: CallerRun): Promise<boolean> {
  console.error(`schemathesis as ${caller.name}: up to ${caller.seconds} s`);
  const args = ['run', `${url}/docs/json`, '--header', `Authorization: Bearer ${caller.token}`];
  const bounds = ['--max-examples', String(caller.examples), '--max-time', String(caller.seconds), '--seed', SEED];
  const hooks = { PYTHONPATH: HERE, SCHEMATHESIS_HOOKS: 'hooks', PYTHONDONTWRITEBYTECODE: '1' };
  const child = spawn(schemathesis, [...args, ...bounds, '--no-color'], {
    cwd: folder,
    env: { ...process.env, ...hooks, KNOWN_CAR: join(folder, CAR_FILE) },
    stdio: 'inherit',
    timeout: (caller.seconds + GRACE_SECONDS) * 1_000,
  });
  const [code] = await once(child, 'exit');
  return code === 0;
}

/** Whether nothing was found by any caller. */
async function callAsAll(schemathesis: string, world: World, folder: string): Promise<boolean> {
  await fill(world, join(folder, CAR_FILE));
  await writeConfig(world, join(folder, 'schemathesis.toml'));
  let sound = true;
  for (const caller of callers) sound = (await callAs(schemathesis, world.url, folder, caller)) && sound;
  return sound;
}

const schemathesis = await findSchemathesis();
if (schemathesis !== undefined) {
  await using folder = await temporaryFolder();
  await using world = await startWorld(folder.path, SEED);
  const service = new ServiceProcess({
    ...world.env,
    API_TOKENS: `${world.env['API_TOKENS']},reader:read:${READ_TOKEN}`,
    METRICS_FROM: 'none',
    LADING_WEBHOOK_ALLOW_PRIVATE: 'true',
    LOG_LEVEL: 'warn',
  });
  try {
    await service.start();
    if (!(await callAsAll(schemathesis, world, folder.path))) {
      console.error(service.log);
      process.exitCode = 1;
    }
  } finally {
    await service.stop();
  }
}
