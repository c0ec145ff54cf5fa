import { setTimeout as sleep } from 'node:timers/promises';
import { CarBlockIterator } from '@ipld/car';
import type { Io } from '../terminal.ts';
import { LadingError } from '../errors.ts';
import { formatBytes } from '../filecoin/units.ts';
import { openDemoHome, type DemoHome } from './demo-home.ts';
import { startDemoNetwork, type DemoNetwork } from './demo-network.ts';
import { ProgressView } from './progress.ts';
import { packSamples, type Sample } from './sample-files.ts';
import { ServiceApi, type CheckAnswer } from './service-api.ts';
import { verifyUpload } from './verify-upload.ts';
import { isActive, lookAt } from './watch-uploads.ts';

export interface DemoOptions {
  exit: boolean;
  json: boolean;
  dataDir: string | undefined;
}

const UPLOADS = 26;
const DEMO_REPLICAS = 3;
/** Uploads come in waves, as they would from a service: these begin one, so that pieces of 1, 4, 128 and 16 MiB come to be. */
const WAVE_STARTS: readonly number[] = [3, 10, 13];
const WAVE_PAUSE_MS = 3_500;
const LOOK_MS = 500;
/** Far above what two busy cores need; a demo that takes longer has failed, and says where it stands. */
const GIVE_UP_MS = 220_000;

interface Run {
  home: DemoHome;
  network: DemoNetwork;
  api: ServiceApi;
  view: ProgressView;
  io: Io;
  startedAt: number;
  sent: Map<string, Sample>;
}

async function sendAll(run: Run, signal: AbortSignal): Promise<void> {
  let at = 0;
  for await (const sample of packSamples({ seed: run.home.seed, count: UPLOADS })) {
    signal.throwIfAborted();
    const known = await run.api.check(sample.root.toString());
    if (known === undefined) {
      if (WAVE_STARTS.includes(at)) await sleep(WAVE_PAUSE_MS, undefined, { signal });
      await run.api.upload(sample, signal);
    }
    run.sent.set(sample.root.toString(), sample);
    at += 1;
  }
}

async function untilActive(run: Run, signal: AbortSignal): Promise<CheckAnswer> {
  const sending = sendAll(run, signal);
  sending.catch(() => undefined);
  const deadline = run.startedAt + GIVE_UP_MS;
  const watched = { ...run, replicas: DEMO_REPLICAS, uploadsTotal: UPLOADS, epoch: run.network.epoch };
  for (;;) {
    const seen = await lookAt(watched);
    run.view.show(seen);
    if (seen.uploadsReceived === UPLOADS && seen.uploadsActive === UPLOADS) break;
    if (Date.now() > deadline)
      throw new LadingError('DEMO_LATE', `not all active after ${seen.seconds.toFixed(0)} s: ${seen.note}`);
    // A fault while sending ends the demo at once, with its reason.
    await Promise.race([
      sleep(LOOK_MS, undefined, { signal }),
      sending.then(() => sleep(LOOK_MS, undefined, { signal })),
    ]);
  }
  await sending;
  const [cid = ''] = run.sent.keys();
  const answer = await run.api.check(cid);
  if (answer === undefined || !isActive(answer, DEMO_REPLICAS)) throw new Error(`${cid} was active a moment ago`);
  return answer;
}

async function verifyOne(run: Run, answer: CheckAnswer): Promise<string> {
  const sample = run.sent.get(answer.value.cid);
  const [deal] = answer.value.deals;
  if (sample === undefined || deal === undefined || deal.datamodelSelector === null)
    throw new Error('nothing to verify');
  const checked = await verifyUpload({
    pieceUrl: `${run.api.url}/piece/${deal.pieceCid}`,
    token: run.home.opsToken,
    batchRootCid: deal.batchRootCid,
    selector: deal.datamodelSelector,
    root: sample.root,
    sent: await CarBlockIterator.fromIterable(sample.car),
  });
  return `verified ${sample.name}: ${checked.blocks} blocks (${formatBytes(checked.bytes)}) found in ${checked.pieceCid} by ${checked.selector}`;
}

async function closingLine(run: Run, check: CheckAnswer): Promise<string> {
  const deals = await run.api.deals();
  const aggregates = await run.api.aggregates();
  const byStage: Record<string, number> = {};
  for (const { stage } of deals) byStage[stage] = (byStage[stage] ?? 0) + 1;
  return JSON.stringify({
    uploads: run.sent.size,
    aggregates: aggregates.filter(({ state }) => state === 'sealed').length,
    deals: byStage,
    check,
    apiUrl: run.api.url,
    rpcUrl: run.network.rpcUrl,
    token: run.home.opsToken,
    dataDir: run.home.dir,
    seconds: Math.round((Date.now() - run.startedAt) / 100) / 10,
  });
}

function introduce({ home, network, api, io }: Run): void {
  io.say(`lading demo: ${UPLOADS} uploads, ${DEMO_REPLICAS} replicas each, among ${network.providerCount} providers`);
  io.say(`  service    ${api.url} (token for role ops: ${home.opsToken})`);
  io.say(`  dashboard  ${api.url}/dashboard (log in with that token)`);
  io.say(`  chain RPC  ${network.rpcUrl}`);
  io.say(`  data       ${home.dir}\n`);
}

function conclude(run: Run, check: CheckAnswer, verified: string): void {
  run.io.say(`\nGET ${run.api.url}/check/${check.value.cid}\n${JSON.stringify(check, null, 2)}`);
  run.io.say(`\nall ${UPLOADS} uploads have ${DEMO_REPLICAS} active deals each\n${verified}`);
}

/** The whole life of the demo; returns its exit code. */
export async function runDemo(options: DemoOptions, io: Io): Promise<number> {
  const startedAt = Date.now();
  const home = await openDemoHome(options.dataDir);
  try {
    await using network = await startDemoNetwork(home, DEMO_REPLICAS);
    const api = new ServiceApi(network.apiUrl, { upload: home.uploadToken, ops: home.opsToken });
    const write = (text: string) => void process.stderr.write(text);
    const view = new ProgressView(write, process.stderr.isTTY);
    const run: Run = { home, network, api, view, io, startedAt, sent: new Map() };
    introduce(run);
    const check = await untilActive(run, io.signal);
    conclude(run, check, await verifyOne(run, check));
    if (options.json) io.print(await closingLine(run, check));
    if (options.exit) return 0;
    io.say(`\nstill running at ${api.url}; Ctrl-C ends it`);
    await new Promise((done) => io.signal.addEventListener('abort', done, { once: true }));
    return 0;
  } catch (error) {
    if (!io.signal.aborted) throw error;
    io.say('\nstopped before all was active');
    return 1;
  } finally {
    await home.discard();
  }
}
