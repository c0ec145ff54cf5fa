import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import { silentLog } from '../src/log/log.ts';
import type { BareOrder, BareReport } from './check-child.ts';
import { load } from './check-load.ts';
import { insertCheckRows, rootOf } from './check-rows.ts';
import { median, rounded } from './measure.ts';

const CHILD = fileURLToPath(new URL('check-child.ts', import.meta.url));
const DEFAULT_UPLOADS = 1_000_000;
const FEW_UPLOADS = 10_000;
const CONNECTIONS = 16;
const SET_CIDS = 1_000;
const ROUNDS = 5;
const ROUND_MS = 2_000;
const never = new AbortController().signal;

interface Child extends AsyncDisposable {
  url: string;
  cpuSeconds(): Promise<number>;
  bare(order: BareOrder): Promise<BareReport>;
}

async function startChild(databaseUrl: string, folder: string, uploads: number): Promise<Child> {
  const child: ChildProcess = fork(CHILD, [databaseUrl, folder, String(uploads)]);
  const reply = async () => ((await once(child, 'message')) as [unknown])[0];
  const ask = async (order: 'cpu' | BareOrder) => {
    const answered = reply();
    child.send(order);
    return answered;
  };
  const url = (await reply()) as string;
  return {
    url,
    async cpuSeconds() {
      const { user, system } = (await ask('cpu')) as NodeJS.CpuUsage;
      return (user + system) / 1e6;
    },
    bare: async (order) => (await ask(order)) as BareReport,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    },
  };
}

interface Figures {
  /** CIDs answered in a second of the clock, and in one of Node's CPU time. */
  perSecond: number;
  perCpuSecond: number;
  latencies: number[];
}

async function measured(
  child: Child,
  act: () => Promise<{ cids: number; ms: number; latencies?: number[] }>,
): Promise<Figures> {
  const before = await child.cpuSeconds();
  const { cids, ms, latencies = [] } = await act();
  const cpu = (await child.cpuSeconds()) - before;
  return { perSecond: cids / (ms / 1_000), perCpuSecond: cids / cpu, latencies };
}

type Contender = (child: Child, uploads: number) => Promise<Figures>;

const anyRoot = (uploads: number) => rootOf(Math.floor(Math.random() * uploads));

function setRequest(uploads: number): string {
  const body = JSON.stringify({ cids: Array.from({ length: SET_CIDS }, () => anyRoot(uploads)) });
  const head = 'Authorization: Bearer bench-token\r\nContent-Type: application/json';
  return `POST /check HTTP/1.1\r\nHost: bench\r\n${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

function bare(query: BareOrder['query'], lanes: number, cids: number): Contender {
  return (child) =>
    measured(child, async () => {
      const { queries, ms } = await child.bare({ query, lanes, cids, ms: ROUND_MS });
      return { cids: queries * cids, ms };
    });
}

function served(connections: number, cids: number, request: (uploads: number) => string): Contender {
  return (child, uploads) =>
    measured(child, async () => {
      const { answers, ...rest } = await load(child.url, connections, ROUND_MS, () => request(uploads));
      return { cids: answers * cids, ...rest };
    });
}

const contenders = {
  check: served(CONNECTIONS, 1, (uploads) => `GET /check/${anyRoot(uploads)} HTTP/1.1\r\nHost: bench\r\n\r\n`),
  bareQuery: bare('own', CONNECTIONS, 1),
  plainJoin: bare('join', CONNECTIONS, 1),
  checkMany: served(1, SET_CIDS, setRequest),
  bareSetQuery: bare('own', 1, SET_CIDS),
  plainSetJoin: bare('join', 1, SET_CIDS),
} satisfies Record<string, Contender>;

type Name = keyof typeof contenders;
const names = Object.keys(contenders) as Name[];

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function summaryOf(rounds: readonly Figures[]) {
  const sorted = rounds.flatMap(({ latencies }) => latencies).toSorted((a, b) => a - b);
  const ms =
    sorted.length === 0 ? {} : { p50: rounded(percentile(sorted, 0.5)), p99: rounded(percentile(sorted, 0.99)) };
  return {
    perSecond: rounded(median(rounds.map(({ perSecond }) => perSecond))),
    perCpuSecond: rounded(median(rounds.map(({ perCpuSecond }) => perCpuSecond))),
    ...ms,
  };
}

type Summary = Record<Name, ReturnType<typeof summaryOf>>;

/** Rounds in which the contenders alternate, so that a busy moment of the machine hits all; the first warms up. */
async function runRounds(child: Child, uploads: number): Promise<Summary> {
  const figures = new Map<Name, Figures[]>(names.map((name) => [name, []]));
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const name of names) {
      const result = await contenders[name](child, uploads);
      if (round > 0) figures.get(name)?.push(result);
    }
  }
  return Object.fromEntries(names.map((name) => [name, summaryOf(figures.get(name) ?? [])])) as Summary;
}

async function measureSize(uploads: number): Promise<Summary & { loadSeconds: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-check-'));
  try {
    await chmod(folder, 0o755);
    const dataDir = join(folder, 'data');
    await mkdir(dataDir);
    await using server = await startEmbedded({ dataDir, log: silentLog, signal: never });
    await migrate(server.url);
    const start = performance.now();
    await using database = connect(server.url);
    await insertCheckRows(database.kysely, uploads);
    const loadSeconds = Math.round((performance.now() - start) / 1_000);
    await using child = await startChild(server.url, join(folder, 'store'), uploads);
    return { loadSeconds, ...(await runRounds(child, uploads)) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * `check [uploads]`: checks one by one from 16 connections, and a thousand at once, each beside its bare prepared query
 * (the service's own, and a plain join) through pg in the same process, over so many uploads and over ten thousand. Ratios are by Node's CPU time: the
 * clock says more of what else the machine does. 10 M uploads take 6 GB of disk, and some minutes to load.
 */
export async function benchCheck(size = String(DEFAULT_UPLOADS)): Promise<Record<string, unknown>> {
  const uploads = Number(size);
  if (!Number.isSafeInteger(uploads) || uploads < FEW_UPLOADS || uploads % SET_CIDS !== 0)
    throw new Error(`give a number of uploads from ${FEW_UPLOADS}, in thousands`);
  const few = await measureSize(FEW_UPLOADS);
  const many = await measureSize(uploads);
  const ratio = (a: Name, b: Name) => rounded(many[a].perCpuSecond / many[b].perCpuSecond);
  const ratios = {
    check_to_bare_query: ratio('check', 'bareQuery'),
    check_to_plain_join: ratio('check', 'plainJoin'),
    check_many_to_bare_set_query: ratio('checkMany', 'bareSetQuery'),
    check_many_to_plain_set_join: ratio('checkMany', 'plainSetJoin'),
    check_many_to_check: ratio('checkMany', 'check'),
    check_many_to_bare_set_query_by_clock: rounded(many.checkMany.perSecond / many.bareSetQuery.perSecond),
    check_many_to_plain_set_join_by_clock: rounded(many.checkMany.perSecond / many.plainSetJoin.perSecond),
    check_many_to_check_by_clock: rounded(many.checkMany.perSecond / many.check.perSecond),
    rate_to_that_of_few: rounded(many.check.perCpuSecond / few.check.perCpuSecond),
    rate_to_that_of_few_by_clock: rounded(many.check.perSecond / few.check.perSecond),
    p99_to_p50: rounded((many.check.p99 ?? Number.NaN) / (many.check.p50 ?? Number.NaN)),
  };
  console.log(
    `Checks of ${uploads} uploads (loaded in ${many.loadSeconds} s), CIDs per second of the clock and of Node's CPU, load ${loadavg()[0]}`,
  );
  for (const name of names) {
    const { perSecond, perCpuSecond, p50, p99 } = many[name];
    const times = p50 === undefined ? '' : `, p50 ${p50} ms, p99 ${p99} ms`;
    console.log(
      `  ${name.padEnd(14)} ${perSecond}/s, ${perCpuSecond}/CPU s${times}; with ${FEW_UPLOADS} uploads ${few[name].perSecond}/s, ${few[name].perCpuSecond}/CPU s`,
    );
  }
  return { bench: 'check', uploads, ratios, many, few };
}
