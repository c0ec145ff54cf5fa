import type { AddressInfo } from 'node:net';
import { createServer, type ServerDeps } from '../../src/api/server.ts';
import { GroupCommit } from '../../src/aggregate/receive/commit-group.ts';
import { receiveCar, type ReceiveDeps } from '../../src/aggregate/receive/receive.ts';
import type { Clock } from '../../src/clock.ts';
import { insertProvider } from '../../src/deals/providers/provider-store.ts';
import { createPieceTokens } from '../../src/deals/send/piece-token.ts';
import { createStatusReader } from '../../src/deals/status/status-reader.ts';
import { silentLog } from '../../src/log/log.ts';
import { createFetcher } from '../../src/outgoing/fetcher.ts';
import { openLocalStore, type LocalStore } from '../../src/storage/local-store.ts';
import { testDatabase } from './database.ts';
import { temporaryFolder } from './temporary-folder.ts';

export const tokens = {
  upload: 'upload-token-1',
  upload2: 'upload-token-2',
  ops: 'ops-token-1',
  read: 'read-token-1',
} as const;

/** The clock of the fixture: a second later at each look, from a fixed time on. */
export function steppingClock(): Clock {
  let at = Date.parse('2024-05-01T00:00:00.000Z');
  return { now: () => new Date((at += 1_000)) };
}

/** Jobs in memory, as far as sending goes. */
export function recordedJobs() {
  const sent: { queue: string; data: unknown }[] = [];
  return {
    sent,
    send: async (_trx: unknown, queue: string, data: unknown) => {
      sent.push({ queue, data });
    },
  };
}

export const sealRules = {
  pieceBytes: 1n << 25n,
  minPieceBytes: 1n << 20n,
  minFillBytes: 20_000_000n,
  maxAgeMs: 12 * 3_600_000,
  forceAgeMs: 48 * 3_600_000,
  openAggregates: 3,
};

export const pieceTokens = createPieceTokens('a secret of at least thirty-two characters');
const MIB = 1024n * 1024n;

interface Options {
  limits?: Partial<ReceiveDeps['limits']>;
  server?: Partial<ServerDeps>;
  store?: (store: LocalStore) => LocalStore;
  /** Small uploads share objects, as in a service. */
  groups?: boolean;
}

/** A server with a database and a store of its own; nothing listens until `listen`. */
export async function apiFixture({ limits, server: changes, store: wrap, groups = false }: Options = {}) {
  const stack = new AsyncDisposableStack();
  const db = stack.use(await testDatabase());
  const folder = stack.use(await temporaryFolder());
  const opened = await openLocalStore(folder.path);
  const store = wrap === undefined ? opened : wrap(opened);
  const clock = steppingClock();
  const jobs = recordedJobs();
  const defaults = { maxUploadBytes: 20n * MIB, maxBlocks: 10_000, minFreeBytes: 0n };
  const base = { kysely: db.kysely, store, jobs, clock, log: silentLog };
  const receive: ReceiveDeps = {
    ...base,
    limits: { ...defaults, ...limits },
    ...(groups && { groups: new GroupCommit(base) }),
  };
  const deps: ServerDeps = {
    kysely: db.kysely,
    statuses: createStatusReader(db),
    store,
    clock,
    log: silentLog,
    sealRules,
    tokens: [
      { name: 'service', role: 'upload', token: tokens.upload },
      { name: 'other', role: 'upload', token: tokens.upload2 },
      { name: 'operator', role: 'ops', token: tokens.ops },
      { name: 'viewer', role: 'read', token: tokens.read },
    ],
    verifyPieceToken: pieceTokens.verify,
    pieceTokens,
    publicUrl: 'https://lading.example.com',
    dealNetwork: () => ({ genesisSeconds: 1_598_306_400, addressLetter: 'f' }),
    publicCheck: true,
    webhookSecret: (id) => `secret of ${id}`,
    webhookRules: { allowPrivate: false },
    pullSources: { fetcher: createFetcher({ allowPrivate: false }), s3Places: [] },
    receiveCar: (input) => receiveCar(receive, input),
    sealAggregate: async () => ({ kind: 'unknown' }),
    addProvider: ({ id, peerId, multiaddrs }) =>
      insertProvider(db.kysely, {
        id,
        manual: peerId === undefined ? undefined : { peerId, multiaddrs: multiaddrs ?? [] },
        at: clock.now(),
      }),
    jobs,
    readiness: {},
    metrics: { contentType: 'text/plain', text: async () => '' },
    metricsFrom: ['loopback'],
    strict: true,
    ...changes,
  };
  const server = createServer(deps);
  stack.defer(() => server.close());
  const listen = async () => {
    await server.listen({ host: '127.0.0.1', port: 0 });
    const { port } = server.server.address() as AddressInfo;
    return { port, url: `http://127.0.0.1:${port}` };
  };
  return {
    server,
    listen,
    deps,
    receive,
    jobs,
    store,
    folder: folder.path,
    kysely: db.kysely,
    database: db,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export type ApiFixture = Awaited<ReturnType<typeof apiFixture>>;

export function bearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}

/** Rows of every table that receiving writes to. */
export async function countRows({ kysely }: Pick<ApiFixture, 'kysely'>) {
  const tables = ['uploads', 'upload_owners', 'owners', 'parts', 'events'] as const;
  const counts = await Promise.all(
    tables.map(async (table) => {
      const { count } = await kysely
        .selectFrom(table)
        .select((eb) => eb.fn.countAll<bigint>().as('count'))
        .executeTakeFirstOrThrow();
      return [table, Number(count)] as const;
    }),
  );
  return Object.fromEntries(counts);
}

export const noRows = { uploads: 0, upload_owners: 0, owners: 0, parts: 0, events: 0 };
