import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readExposition } from '../metrics/read-exposition.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'lading');
const BINARY = process.env['PROMTOOL'] ?? join(CACHE, 'promtool', 'promtool');
export const ALERTS_FILE = fileURLToPath(new URL('../../ops/alerts.yml', import.meta.url));

/** Longer than any alert waits and looks back, the two together. */
const STEP_MINUTES = 5;
const STEPS = 90;

/** Prometheus's own judge of rules; undefined, with the reason on standard error, where it is missing. */
export function findPromtool(): string | undefined {
  if (existsSync(BINARY)) return BINARY;
  if (process.env['PROMTOOL'] !== undefined) throw new Error(`PROMTOOL names ${BINARY}, which is not there`);
  console.error(`\n!!! ALERTS ARE NOT TESTED: there is no ${BINARY}; .ci/run gets it where there is apt-get.\n`);
  return undefined;
}

export async function runPromtool(binary: string, args: readonly string[], input = '') {
  const child = spawn(binary, args);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stdin.end(input);
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, output };
}

/** Names of the alerts, in their order. */
export async function alertNames(): Promise<string[]> {
  const text = await readFile(ALERTS_FILE, 'utf8');
  return [...text.matchAll(/^\s+- alert: (\w+)$/gm)].map(([, name = '']) => name);
}

function quoted(text: string): string {
  return `"${text.replaceAll(/[\\"]/g, (char) => `\\${char}`).replaceAll('\n', String.raw`\n`)}"`;
}

/** What two scrapes saw, as it would go on: counters grow as between the two, and gauges stand, but those named here. */
interface Seen {
  before: string;
  after: string;
  growing?: readonly string[];
  /** Between the two: what grew, grows at this pace. Unless told it is taken for one step. */
  secondsApart?: number;
}

async function seriesOf({ before, after, growing = [], secondsApart = STEP_MINUTES * 60 }: Seen) {
  const used = new Set((await readFile(ALERTS_FILE, 'utf8')).match(/\blading_\w+/g));
  const key = (name: string, labels: Record<string, string>) =>
    `${name}{${Object.entries(labels)
      .map(([label, value]) => `${label}=${quoted(value)}`)
      .join()}}`;
  const first = new Map(
    [...readExposition(before).values()].flatMap(({ samples }) =>
      samples.map(({ name, labels, value }): [string, number] => [key(name, labels), value]),
    ),
  );
  return [...readExposition(after)].flatMap(([family, { type, samples }]) =>
    samples
      .filter(({ name }) => used.has(name))
      .map(({ name, labels, value }) => {
        const series = key(name, labels);
        const grows = type !== 'gauge' || growing.includes(family);
        const was = first.get(series) ?? (grows && type !== 'gauge' ? 0 : value);
        const by = grows ? ((value - was) * STEP_MINUTES * 60) / secondsApart : 0;
        return { series, values: `${by === 0 ? value : was}${by < 0 ? '-' : '+'}${Math.abs(by)}x${STEPS}` };
      }),
  );
}

/** Seen so, these alerts fire in the end, and no others. */
export interface Expected extends Seen {
  name: string;
  alerts: readonly string[];
  /** Others are not asked for; unless told all are. */
  among?: readonly string[];
}

async function ruleTest({ name, alerts, among = ['.*'], ...seen }: Expected) {
  const question = {
    expr: `max by (alertname) (ALERTS{alertstate="firing",alertname=~"${among.join('|')}"})`,
    eval_time: `${STEP_MINUTES * STEPS}m`,
    exp_samples: alerts.map((alert) => ({ labels: `{alertname="${alert}"}`, value: 1 })),
  };
  const interval = `${STEP_MINUTES}m`;
  return { name, interval, input_series: await seriesOf(seen), promql_expr_test: [question] };
}

/** Asks promtool whether exactly the expected alerts fire; it says by its output what it found where not. */
export async function judgeAlerts(binary: string, expected: readonly Expected[]) {
  await using folder = await temporaryFolder();
  const file = join(folder.path, 'test.yml');
  const tests = await Promise.all(expected.map(ruleTest));
  // JSON is YAML.
  const rules = { rule_files: [ALERTS_FILE], evaluation_interval: `${STEP_MINUTES}m`, tests };
  await writeFile(file, JSON.stringify(rules));
  return await runPromtool(binary, ['test', 'rules', file]);
}
