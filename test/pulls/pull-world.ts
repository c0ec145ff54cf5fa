import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { expect } from 'vitest';
import { silentLog } from '../../src/log/log.ts';
import { createFetcher, type FetcherRules } from '../../src/outgoing/fetcher.ts';
import { runPull, type PullDeps } from '../../src/pulls/pull.ts';
import { origin, serveFile } from '../outgoing/origin.ts';
import { apiFixture, bearer, tokens } from '../support/api-fixture.ts';
import { car, pbNode, rawBlock, type Block } from '../support/car-builder.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

export interface Shown {
  id: string;
  state: string;
  cid: string | null;
  pulled: number;
  size: number | null;
  attempts: number;
  fetching: boolean;
  nextAttempt: string | null;
  error: { code: string; message: string } | null;
  events: { kind: string; error: { code: string } | null }[];
}

/** The API, and the handler of its job as a service has it. */
export async function world(rules: Partial<FetcherRules> = {}, options: Parameters<typeof apiFixture>[0] = {}) {
  const stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const sources = { fetcher: createFetcher({ allowPrivate: true, ...rules }), s3Places: [] };
  const fixture = stack.use(await apiFixture({ ...options, server: { pullSources: sources, ...options.server } }));
  const deps: PullDeps = {
    db: fixture.kysely,
    jobs: fixture.jobs,
    clock: fixture.deps.clock,
    random: () => 0,
    log: silentLog,
    sources,
    receive: fixture.deps.receiveCar,
    limits: fixture.receive.limits,
    folder: folder.path,
    configuredNames: ['service', 'other'],
    holder: randomUUID(),
  };
  const call = async (method: 'GET' | 'POST' | 'DELETE', url: string, token: string, payload?: object) => {
    const answer = await fixture.server.inject({ method, url, headers: bearer(token), ...(payload && { payload }) });
    return { status: answer.statusCode, json: answer.json() as Shown & { code?: string; detail?: string } };
  };
  const never = new AbortController().signal;
  return {
    fixture,
    deps,
    folder: folder.path,
    call,
    ask: async (url: string, more: object = {}) => {
      const { status, json } = await call('POST', '/uploads', tokens.upload, { url, ...more });
      expect(status, JSON.stringify(json)).toBe(202);
      return json.id;
    },
    run: (id: string, { stop = never, ...changes }: Partial<PullDeps> & { stop?: AbortSignal } = {}) =>
      runPull({ ...deps, ...changes }, id, stop),
    show: async (id: string) => (await call('GET', `/uploads/pulls/${id}`, tokens.upload)).json,
    /** The next attempt has its time. */
    due: () => fixture.kysely.updateTable('pulls').set({ next_attempt_at: sql<Date>`now()` }).execute(),
    spools: () => readdir(folder.path),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export function someCar(blocks = 40, blockBytes = 20_000): { bytes: Buffer; root: string; blocks: Block[] } {
  const leaves = Array.from({ length: blocks }, () => rawBlock(randomBytes(blockBytes)));
  const top = pbNode(leaves);
  return { bytes: car([top.cid], [top, ...leaves]), root: top.cid.toString(), blocks: [top, ...leaves] };
}

export const etagOf = (bytes: Uint8Array) => `"${createHash('sha256').update(bytes).digest('hex')}"`;

/** An origin that stops in the middle of the bytes, and goes on when it is asked for the rest. */
export async function halted(bytes: Uint8Array, at: number, etag = '"a"') {
  let isHalted = true;
  const whole = serveFile(() => ({ bytes, etag }));
  const server = await origin((request, response) => {
    if (!isHalted || request.headers.range !== undefined) return whole(request, response);
    response.writeHead(200, { 'content-length': String(bytes.length), etag }).write(bytes.subarray(0, at));
  });
  return { ...server, release: () => (isHalted = false), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

export async function stopInTheMiddle(one: Awaited<ReturnType<typeof world>>, id: string, bytes: number) {
  const stop = new AbortController();
  const running = one.run(id, { stop: stop.signal });
  await expect.poll(async () => (await readFile(join(one.folder, `${id}.part`)).catch(() => '')).length).toBe(bytes);
  stop.abort(new Error('the service stops'));
  await expect(running).rejects.toThrow('the service stops');
}
