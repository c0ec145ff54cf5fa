import { scrubEverything } from '../aggregate/keep/scrub.ts';
import { createChain } from '../chain/chain.ts';
import { createRpc, type RpcEndpoint } from '../chain/rpc.ts';
import { systemClock } from '../clock.ts';
import { readConfig, type Config } from '../config.ts';
import { commandLineActor } from '../deals/audit.ts';
import { acceptChain } from '../deals/watch/accept-chain.ts';
import { connect, type Database } from '../db/connect.ts';
import { startEmbedded } from '../db/embedded.ts';
import { findRunningEmbedded, hasEmbedded } from '../db/running-embedded.ts';
import { diagnose } from '../doctor/doctor.ts';
import { examine, sound, wrong, type Finding } from '../doctor/finding.ts';
import { formatBytes } from '../filecoin/units.ts';
import { LadingError } from '../errors.ts';
import { createLog } from '../log/log.ts';
import { openStore } from '../storage/open-store.ts';
import type { ServiceStore } from '../storage/store.ts';
import { secretsOf } from '../log/redact.ts';
import type { Io } from '../terminal.ts';
import { jsonOption, parseCommand, type Command } from './command.ts';

const usage = 'doctor [--scrub] [--accept-chain HOST [--reason TEXT]] [--json]';
const options = {
  ...jsonOption,
  scrub: { type: 'boolean', default: false },
  'accept-chain': { type: 'string' },
  reason: { type: 'string' },
} as const;
const log = createLog('warn', { secrets: secretsOf(process.env) });

export const doctor: Command = {
  usage,
  summary: 'look at database, store, chain, wallet and bytes, and say what to do; --scrub reads all stored bytes now',
  async run(args, io) {
    const { values } = parseCommand(args, usage, options);
    const config = readConfig(io.env, 'tool');
    await using stack = new AsyncDisposableStack();
    const findings: Finding[] = [];
    const database = await openOne('database', findings, () => openOwnDatabase(config, io, stack));
    if (database !== undefined) stack.use(database);
    const store = await openOne('store', findings, () => openStore(config.storeUrl));
    if (store !== undefined) stack.defer(() => store.close());
    if (values.scrub && database !== undefined && store !== undefined) {
      findings.push(...(await scrub({ database, store, io })));
    }
    const { signal } = io;
    const host = values['accept-chain'];
    if (host !== undefined && database !== undefined) {
      findings.push(...(await accept({ config, database, host, reason: values.reason, signal })));
    }
    findings.push(...(await diagnose({ config, clock: systemClock, signal, db: database?.kysely, store })));
    if (values.json) io.print(JSON.stringify({ ok: findings.every(({ ok }) => ok), findings }));
    else for (const finding of findings) print(io, finding);
    return findings.every(({ ok }) => ok) ? 0 : 1;
  },
};

function print(io: Io, { check, ok, text, advice }: Finding): void {
  io.print(`${ok ? 'ok   ' : 'WRONG'} ${check}: ${text}`);
  if (advice !== undefined) io.print(`        ${advice}`);
}

/** What cannot be opened is a finding, and no reason not to look at the rest. */
async function openOne<T>(name: string, findings: Finding[], open: () => Promise<T>): Promise<T | undefined> {
  let opened: T | undefined;
  const advice = name === 'store' ? 'see STORE_URL and the credentials' : 'see DATABASE_URL, or DATA_DIR';
  const faults = await examine(name, advice, async () => {
    opened = await open();
    return [];
  });
  findings.push(...faults);
  return opened;
}

/** As the service has it, through a running one where there is one. It is looked at as it is: nothing is made or migrated. */
async function openOwnDatabase(config: Config, io: Io, stack: AsyncDisposableStack): Promise<Database> {
  const { dataDir } = config;
  const url = config.databaseUrl ?? (await findRunningEmbedded(dataDir));
  if (url !== undefined) return connect(url, { name: 'lading doctor', log });
  if (!(await hasEmbedded(dataDir))) {
    throw new LadingError(
      'DATABASE_MISSING',
      `DATA_DIR=${dataDir} holds no database: lading serve makes it at its first start`,
    );
  }
  const embedded = stack.use(await startEmbedded({ dataDir, log, signal: io.signal }));
  return connect(embedded.url, { name: 'lading doctor', log });
}

interface AcceptInput {
  config: Config;
  database: Database;
  host: string;
  reason: string | undefined;
  signal: AbortSignal;
}

/** The operator's word that the chain of this node is the right one, though it contradicts what was final. */
async function accept({ config, database, host, reason, signal }: AcceptInput): Promise<Finding[]> {
  return examine('chain.accept', 'give the host and port of a node of CHAIN_RPC_URL', async () => {
    const endpoint = config.rpcEndpoints.find(({ url }) => new URL(url).host === host);
    if (endpoint === undefined) throw new LadingError('NODE_UNKNOWN', `CHAIN_RPC_URL has no node at ${host}`);
    using rpc = openRpc(endpoint);
    const given = { db: database.kysely, chain: createChain(rpc.pool), at: systemClock.now() };
    const { finding, above } = await acceptChain(given, { by: commandLineActor(), reason }, signal);
    if (above === undefined) return [sound('chain.accept', `${host} contradicts nothing that was final`)];
    const was = finding.kind === 'broken' ? finding.epoch : above;
    return [
      sound('chain.accept', `${host} is believed, not what was final at epoch ${was}: read again above ${above}`),
    ];
  });
}

function openRpc(endpoint: RpcEndpoint) {
  const pool = createRpc({ endpoints: [endpoint] });
  return { pool, [Symbol.dispose]: () => pool.close() };
}

interface ScrubInput {
  database: Database;
  store: ServiceStore;
  io: Io;
}

/** Between lines of progress: enough to see that it goes on. */
const TELL_MS = 2_000;

async function scrub({ database, store, io }: ScrubInput): Promise<Finding[]> {
  return examine('scrub', 'see that database and store answer', async () => {
    const began = Date.now();
    let toldAt = began;
    const deps = { db: database.kysely, store, clock: systemClock, log, bytesPerSecond: Number.POSITIVE_INFINITY };
    const counts = await scrubEverything(
      deps,
      ({ readBytes, ranges, damaged }) => {
        if (!io.isTerminal || Date.now() - toldAt < TELL_MS) return;
        toldAt = Date.now();
        io.say(`read ${formatBytes(readBytes)} in ${ranges} ranges, ${damaged} damaged, ${rate(readBytes, began)}`);
      },
      io.signal,
    );
    const told = `read ${counts.ranges} ranges, ${formatBytes(counts.readBytes)}, ${rate(counts.readBytes, began)}`;
    if (counts.damaged === 0) return [sound('scrub', told)];
    return [wrong('scrub', `${told}: ${counts.damaged} are damaged`, 'see below which')];
  });
}

function rate(bytes: number, beganMs: number): string {
  return `${formatBytes(Math.round((bytes / Math.max(1, Date.now() - beganMs)) * 1_000))}/s`;
}
