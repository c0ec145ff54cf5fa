import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CarBlockIterator } from '@ipld/car';
import * as dagPb from '@ipld/dag-pb';
import { Piece } from '@web3-storage/data-segment';
import { CID } from 'multiformats/cid';
import { expect, test } from 'vitest';
import { packSamples, type Sample } from '../../src/demo/sample-files.ts';
import { checkEverything } from '../checker/check-everything.ts';
import { readExposition, valueOf } from '../metrics/read-exposition.ts';
import { ServiceProcess } from '../support/service-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { withStoppedDatabase } from './stopped-database.ts';
import { REPLICAS, startWorld, type CheckedDeal, type World } from './world.ts';

const UPLOADS = 10;
const LARGEST_BYTES = 3 * 2 ** 20;
const LIMIT_MS = 90_000;
const LOOK_MS = 50;
const SEED = 'a whole life';

interface Sent {
  sample: Sample;
  cid: string;
}

async function sendAll(world: World): Promise<Sent[]> {
  const sent: Sent[] = [];
  for await (const sample of packSamples({ seed: SEED, count: UPLOADS })) {
    if (sample.bytes > LARGEST_BYTES) continue;
    const response = await world.upload(sample);
    expect(response.status).toBe(200);
    sent.push({ sample, cid: sample.root.toString() });
  }
  return sent;
}

/** Every different public picture of one upload, in the order in which it was seen. */
async function followUpload(world: World, cid: string): Promise<CheckedDeal[][]> {
  const seen: CheckedDeal[][] = [];
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const deals = (await world.check(cid))?.value.deals ?? [];
    const stages = (list: CheckedDeal[] | undefined) =>
      list
        ?.map(({ stage, miner }) => `${miner} ${stage}`)
        .sort()
        .join();
    if (stages(seen.at(-1)) !== stages(deals)) seen.push(deals);
    if (deals.filter(({ status }) => status === 'active').length === REPLICAS) return seen;
    if (Date.now() > deadline) throw new Error(`not active in time: ${await world.describe([cid])}`);
    await sleep(LOOK_MS);
  }
}

function expectQueuedDeal(deal: CheckedDeal): void {
  expect(deal).toMatchObject({
    status: 'queued',
    datamodelSelector: expect.stringMatching(/^(Links\/\d+\/Hash\/?){3}$/),
    dealActivation: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/),
    dealExpiration: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/),
    lastChanged: expect.stringMatching(/\.\d{6}\+00:00$/),
    pieceCid: expect.stringMatching(/^baga6ea4seaq/),
    batchRootCid: expect.stringMatching(/^bafybei/),
    miner: expect.stringMatching(/^f0\d+$/),
  });
}

function expectActiveDeal(deal: CheckedDeal): void {
  expect(deal).toMatchObject({
    status: 'active',
    chainDealID: expect.any(Number),
    statusText: expect.stringMatching(/^containing sector active as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d at epoch \d+$/),
  });
}

/** A piece as a provider or a stranger gets it, parsed from its first to its last byte by @ipld/car. */
async function fetchPiece(world: World, pieceCid: string) {
  const response = await world.get(`/piece/${pieceCid}`);
  expect(response.status).toBe(200);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const blocks = new Map<string, Uint8Array>();
  for await (const { cid, bytes: block } of await CarBlockIterator.fromBytes(bytes)) blocks.set(cid.toString(), block);
  return { bytes, blocks };
}

function walk(blocks: Map<string, Uint8Array>, from: string, selector: string): string {
  return [...selector.matchAll(/Links\/(\d+)\/Hash/g)].reduce((at, [, index]) => {
    const link = dagPb.decode(blocks.get(at) ?? new Uint8Array()).Links[Number(index)];
    return link === undefined ? 'nowhere' : link.Hash.toString();
  }, from);
}

async function expectInPiece(world: World, { sample, cid }: Sent): Promise<void> {
  const deal = (await world.check(cid))?.value.deals[0];
  if (deal === undefined) throw new Error(`${cid} has no deal`);
  const { bytes, blocks } = await fetchPiece(world, deal.pieceCid);
  expect(Piece.fromPayload(bytes).toInfo().link.toString(), 'piece CID by data-segment').toBe(deal.pieceCid);
  expect(walk(blocks, deal.batchRootCid, deal.datamodelSelector)).toBe(cid);
  for await (const block of await CarBlockIterator.fromIterable(sample.car)) {
    expect(blocks.get(block.cid.toString()), `block ${block.cid}`).toEqual(block.bytes);
  }
}

async function expectEntries(world: World, sent: Sent[]): Promise<void> {
  const pieces = new Set<string>();
  for (const { cid } of sent) pieces.add((await world.check(cid))?.value.deals[0]?.pieceCid ?? '');
  const roots: string[] = [];
  for (const piece of pieces) {
    const about = (await (await world.get(`/aggregates/${piece}`)).json()) as { entryCount: number; pieceSize: number };
    const lines = (await (await world.get(`/aggregates/${piece}/entries`)).text()).trimEnd().split('\n');
    expect(lines.length).toBe(about.entryCount);
    for (const line of lines) roots.push((JSON.parse(line) as { root: string }).root);
  }
  expect(roots.sort()).toEqual(sent.map(({ cid }) => cid).sort());
}

/** What a scrape tells of the whole story: whoever calls from this machine needs no token. */
async function expectMetrics(world: World, uploads: number): Promise<void> {
  const response = await fetch(`${world.url}/metrics`);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  const families = readExposition(await response.text());
  for (const name of families.keys()) expect(name).toMatch(/^lading_[a-z0-9_]+$/);
  expect(valueOf(families, 'lading_uploads', { state: 'stowed' })).toBe(uploads);
  expect(valueOf(families, 'lading_chain_degraded_seconds')).toBe(0);
  expect(valueOf(families, 'lading_chain_age_seconds')).toBeLessThan(60);
  const total = (name: string, labels: Record<string, string>) =>
    families
      .get(name)
      ?.samples.filter((one) => Object.entries(labels).every(([label, value]) => one.labels[label] === value))
      .reduce((sum, { value }) => sum + value, 0);
  expect(total('lading_rpc_requests_total', { method: 'ChainHead', outcome: 'ok' })).toBeGreaterThan(0);
  expect(total('lading_rpc_endpoint_state', { state: 'well' })).toBe(1);
  expect(total('lading_provider_answers_total', { question: 'propose', outcome: 'accepted' })).toBeGreaterThan(0);
  expect(total('lading_piece_served_bytes_total', {})).toBeGreaterThan(0);
  expect(valueOf(families, 'lading_job_duration_seconds_count', { queue: 'seal', outcome: 'done' })).toBeGreaterThan(0);
  const uploaded = { method: 'POST', route: '/upload', status: '2xx' };
  expect(valueOf(families, 'lading_http_request_duration_seconds_count', uploaded)).toBe(uploads);
}

test('an upload goes from no deals to queued to active, and its piece holds every block', async () => {
  await using folder = await temporaryFolder();
  await using world = await startWorld(folder.path, SEED);
  const service = new ServiceProcess(world.env);
  try {
    await service.start();
    await world.prepare();
    const sent = await sendAll(world);
    const [first] = sent;
    if (first === undefined) throw new Error('nothing was sent');
    const pictures = await followUpload(world, first.cid);
    expect(pictures[0], 'at first there are no deals').toEqual([]);
    const queued = pictures.flat().filter(({ status }) => status === 'queued');
    expect(queued.length, 'then they are queued').toBeGreaterThan(0);
    for (const deal of queued) expectQueuedDeal(deal);
    for (const deal of pictures.at(-1) ?? []) expectActiveDeal(deal);
    expect(pictures.flat().map(({ status }) => status)).not.toContain('terminated');
    for (const one of sent) await followUpload(world, one.cid);
    for (const one of sent) await expectInPiece(world, one);
    await expectEntries(world, sent);
    await expectMetrics(world, sent.length);
    const asV0 = CID.parse(first.cid);
    if (asV0.code === dagPb.code)
      expect((await world.check(asV0.toV0().toString()))?.value.deals.length).toBe(REPLICAS);
    expect(await service.stop(), 'SIGTERM ends it in order').toBe(0);
  } catch (error) {
    throw new Error(service.log, { cause: error });
  } finally {
    await service.kill();
  }
  const broken = await withStoppedDatabase(world.dataDir, (databaseUrl) =>
    checkEverything({ databaseUrl, store: join(world.dataDir, 'store'), rpcUrl: world.rpcUrl }),
  );
  expect(broken).toEqual([]);
});
