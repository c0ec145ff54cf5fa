import { createHash, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { expect } from 'vitest';
import { silentLog } from '../../../src/log/log.ts';
import { createFetcher } from '../../../src/outgoing/fetcher.ts';
import { createFetchHandler, type FetchHandlerDeps } from '../../../src/pins/requests/fetch-handler.ts';
import { createSources } from '../../../src/pins/requests/sources.ts';
import { apiFixture, bearer, tokens, type ApiFixture } from '../../support/api-fixture.ts';
import { header, pbNode, rawBlock, section, type Block } from '../../support/car-builder.ts';
import type { Fault } from './block-origin.ts';

interface Setting {
  limits?: FetchHandlerDeps['limits'];
  gatewayUrls?: string[];
  giveUpMs?: number;
  maxUploadBytes?: bigint;
  allowPrivate?: boolean;
  networks?: string[];
  configuredNames?: string[];
  turnMs?: number;
}

/** The API over a real database and store, and the handler of its job as a service has it. */
export async function setUp(setting: Setting = {}, options: Parameters<typeof apiFixture>[0] = {}) {
  const fixture = await apiFixture(options);
  const { allowPrivate = true, networks = [], gatewayUrls = [], limits, giveUpMs = 3_600_000 } = setting;
  const rules = { allowPrivate, networks };
  const [strangers, ours] = [createFetcher(rules), createFetcher({ allowPrivate: true })];
  const sources = createSources({ strangers, ours, gatewayUrls, kuboUrl: undefined, rules, log: silentLog });
  const handler = createFetchHandler({
    kysely: fixture.kysely,
    jobs: fixture.jobs,
    clock: fixture.deps.clock,
    log: silentLog,
    random: () => 0.5,
    receive: fixture.deps.receiveCar,
    maxUploadBytes: setting.maxUploadBytes ?? 20n * 1024n * 1024n,
    configuredNames: setting.configuredNames ?? ['service', 'other'],
    giveUpMs,
    ...(setting.turnMs !== undefined && { turnMs: setting.turnMs }),
    sourcesOf: sources.of,
    ...(limits && { limits }),
  });
  const stopping = new AbortController();
  return {
    fixture,
    stopping,
    run: (root: string, signal = stopping.signal) => handler([{ root }], signal),
    async [Symbol.asyncDispose]() {
      stopping.abort();
      strangers.close();
      ours.close();
      await fixture[Symbol.asyncDispose]();
    },
  };
}

export async function pin({ server }: ApiFixture, cid: string, origins: string[], token: string = tokens.upload) {
  const answer = await server.inject({
    method: 'POST',
    url: '/pins',
    headers: bearer(token),
    payload: { cid, origins },
  });
  expect(answer.statusCode, answer.body).toBe(202);
  return (answer.json() as { requestid: string }).requestid;
}

export async function show({ server }: ApiFixture, id: string, token: string = tokens.upload) {
  const { status, info } = (await server.inject({ url: `/pins/${id}`, headers: bearer(token) })).json() as {
    status: string;
    info?: Record<string, string>;
  };
  return { status, details: info?.['status_details'] ?? '' };
}

/** A request waits after an attempt in vain: not in a test. */
export async function makeDue({ kysely }: ApiFixture): Promise<void> {
  await kysely
    .updateTable('pin_requests')
    .set({ next_attempt_at: sql<Date>`now()` })
    .where('next_attempt_at', 'is not', null)
    .execute();
}

/** How many blocks lie in the store under the upload, each hashed anew, by hand; -1 while it is not complete. */
export async function storedBlocks({ kysely, store }: ApiFixture, root: string): Promise<number> {
  const upload = await kysely.selectFrom('uploads').select(['id', 'state']).where('root', '=', root).executeTakeFirst();
  if (upload?.state !== 'waiting') return -1;
  const parts = await kysely.selectFrom('parts').selectAll().where('upload_id', '=', upload.id).execute();
  const digests = new Set<string>();
  for (const { object_key: key, object_offset: offset, length_bytes: length } of parts) {
    const chunks: Buffer[] = [];
    for await (const chunk of store.read(key, Number(offset), Number(length))) chunks.push(Buffer.from(chunk));
    for (const digest of hashSections(Buffer.concat(chunks))) digests.add(digest);
  }
  return digests.size;
}

/** Sections of CIDv1s with a SHA-256: the digest of each, which must be that of its block. */
function* hashSections(run: Buffer): Generator<string> {
  for (let at = 0; at < run.length; ) {
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = run[at] ?? 0;
      at += 1;
      length += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    const digest = run.subarray(at + 4, at + 36).toString('hex');
    expect(
      createHash('sha256')
        .update(run.subarray(at + 36, at + length))
        .digest('hex'),
    ).toBe(digest);
    yield digest;
    at += length;
  }
}

/** A tree of so many leaves, sixteen to a node. */
export function tree(leaves: number): { root: string; blocks: Block[] } {
  let level = Array.from({ length: leaves }, () => rawBlock(randomBytes(600)));
  const blocks = [...level];
  while (level.length > 1) {
    const groups = Array.from({ length: Math.ceil(level.length / 16) }, (_, at) => level.slice(at * 16, at * 16 + 16));
    level = groups.map((group) => pbNode(group));
    blocks.unshift(...level);
  }
  return { root: level[0]?.cid.toString() ?? '', blocks };
}

export const cutAfter =
  (root: string, count: number, blocks: readonly Block[]): Fault =>
  ({ n, format, response }) => {
    if (n !== 1 || format !== 'car') return false;
    response.write(header({ roots: [blocks[0]?.cid], version: 1 }));
    for (const block of blocks.slice(0, count)) response.write(section(block));
    response.write(Buffer.from([0x80]), () => response.destroy());
    return root !== '';
  };
