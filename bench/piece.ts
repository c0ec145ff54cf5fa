import { spawn } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { Agent, get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import { create as createDigest } from 'multiformats/hashes/digest';
import { sha256 } from 'multiformats/hashes/sha2';
import { CAR_HEADER_BYTES } from '../src/aggregate/place/placement-rules.ts';
import { connect, type Database } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import { createPieceTokens } from '../src/deals/send/piece-token.ts';
import { pieceCapacity, pieceCidV1 } from '../src/filecoin/piece.ts';
import { silentLog } from '../src/log/log.ts';
import { openLocalStore } from '../src/storage/local-store.ts';
import { keyToFile } from '../src/storage/object-key.ts';
import { median, rounded } from './measure.ts';
import { startNginx } from './nginx.ts';
import { cpuSeconds, rssMib } from './service-child.ts';

const GIB = 2 ** 30;
const RUNS = 1_000;
const CONNECTIONS = 5;
const ROUNDS = 3;
const TREE_BYTES = 100_000;
const PIECE_CID = pieceCidV1(new Uint8Array(32).fill(1, 0, 31)).toString();
const PROVIDER = 'f01000';
const never = new AbortController().signal;

const carBytes = Number(pieceCapacity(BigInt(GIB)));
const runBytes = Math.floor((carBytes - CAR_HEADER_BYTES - TREE_BYTES) / RUNS);
const lengthBytes = CAR_HEADER_BYTES + RUNS * runBytes;
const servedBytes = lengthBytes + TREE_BYTES;

function cidOf(text: string): string {
  const digest = createHash('sha256').update(text).digest();
  return CID.createV1(raw.code, createDigest(sha256.code, digest)).toString();
}

async function putObjects(folder: string): Promise<void> {
  const store = join(folder, 'store');
  const put = async (key: string, bytes: Buffer) => {
    const { shard, name } = keyToFile(key);
    await mkdir(join(store, 'objects', shard), { recursive: true });
    await writeFile(join(store, 'objects', shard, name), bytes);
  };
  await openLocalStore(store).then((opened) => opened.close());
  const bytes = randomBytes(runBytes);
  for (let run = 0; run < RUNS; run += 1) await put(`runs/bench-${run}`, bytes);
  await put('trees/bench', randomBytes(TREE_BYTES));
  const plain = await open(join(folder, 'plain.car'), 'w');
  for (let at = 0; at < servedBytes; at += runBytes) await plain.write(bytes, 0, Math.min(runBytes, servedBytes - at));
  await plain.close();
}

/** A sealed aggregate of a thousand runs, each an object of its own, and an accepted deal for it. */
async function insertRows({ kysely }: Database): Promise<string> {
  const at = new Date();
  const dealId = randomUUID();
  await kysely.transaction().execute(async (trx) => {
    const common = { state: 'stowed' as const, block_count: 1n, created_at: at, changed_at: at };
    const uploads = Array.from({ length: RUNS }, (_, run) => ({
      ...common,
      root: cidOf(`run ${run}`),
      run_bytes: BigInt(runBytes),
      dag_bytes: BigInt(runBytes),
    }));
    const ids = (await trx.insertInto('uploads').values(uploads).returning('id').execute()).map(({ id }) => id);
    const part = { object_offset: 0n, length_bytes: BigInt(runBytes), block_count: 1n, run_seq: 0, created_at: at };
    const parts = ids.map((id, run) => ({ ...part, upload_id: id, object_key: `runs/bench-${run}` }));
    await trx.insertInto('parts').values(parts).execute();
    const { id: aggregateId } = await trx
      .insertInto('aggregates')
      .values({
        state: 'sealed',
        capacity_bytes: BigInt(carBytes),
        length_bytes: BigInt(lengthBytes),
        entry_count: RUNS,
        oldest_accepted_at: at,
        seal_reason: 'full',
        tree_key: 'trees/bench',
        tree_bytes: BigInt(TREE_BYTES),
        batch_root: 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi',
        car_bytes: BigInt(servedBytes),
        piece_cid: PIECE_CID,
        piece_bytes: BigInt(GIB),
        opened_at: at,
        sealed_at: at,
        changed_at: at,
      })
      .returning('id')
      .executeTakeFirstOrThrow();
    await trx.insertInto('events').values({ at, aggregate_id: aggregateId, to_state: 'sealed' }).execute();
    const placements = ids.map((id, seq) => ({
      aggregate_id: aggregateId,
      seq,
      upload_id: id,
      offset_bytes: BigInt(CAR_HEADER_BYTES + seq * runBytes),
      length_bytes: BigInt(runBytes),
      selector: `Links/${seq}/Hash`,
    }));
    await trx.insertInto('placements').values(placements).execute();
    await trx
      .insertInto('providers')
      .values({ id: PROVIDER, state: 'enabled', address_source: 'chain', added_at: at })
      .execute();
    await trx
      .insertInto('deals')
      .values({
        id: dealId,
        aggregate_id: aggregateId,
        slot: 0,
        generation: 0,
        provider_id: PROVIDER,
        policy_version: 1,
        state: 'accepted',
        client: 'f1bench',
        signed_proposal: Buffer.alloc(1),
        proposal_cid: 'bafybench',
        verified: false,
        start_epoch: 1_000n,
        end_epoch: 600_000n,
        price_per_epoch: '0',
        provider_collateral: '0',
        attempts: 1,
        created_at: at,
        changed_at: at,
      })
      .execute();
    await trx.insertInto('events').values({ at, deal_id: dealId, to_state: 'accepted' }).execute();
  });
  return dealId;
}

interface Target {
  url: string;
  headers: Record<string, string>;
  pid: number;
}

/** One range over a connection of its own; the bytes are thrown away. */
async function fetchRange({ url, headers }: Target, agent: Agent, start: number, end: number): Promise<number> {
  const request = get(url, { agent, headers: { ...headers, range: `bytes=${start}-${end - 1}` } });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  if (response.statusCode !== 206) throw new Error(`${url} answers ${response.statusCode}, not 206`);
  let bytes = 0;
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await once(response, 'end');
  return bytes;
}

/** The whole over five connections at once; CPU seconds of the server, and seconds. */
async function fetchAll(target: Target): Promise<{ cpu: number; seconds: number }> {
  const agent = new Agent({ maxSockets: CONNECTIONS });
  const before = await cpuSeconds(target.pid);
  const start = performance.now();
  const part = Math.floor(servedBytes / CONNECTIONS);
  const parts = Array.from({ length: CONNECTIONS }, (_, at) =>
    fetchRange(target, agent, at * part, at === CONNECTIONS - 1 ? servedBytes : (at + 1) * part),
  );
  const bytes = (await Promise.all(parts)).reduce((sum, one) => sum + one);
  const seconds = (performance.now() - start) / 1_000;
  agent.destroy();
  if (bytes !== servedBytes) throw new Error(`${bytes} bytes came, not ${servedBytes}`);
  return { cpu: (await cpuSeconds(target.pid)) - before, seconds };
}

async function startPieceServer(url: string, folder: string, secret: string) {
  const file = new URL('./piece-server.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [...process.execArgv, file, url, join(folder, 'store'), secret], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  if (child.pid === undefined) throw new Error('the piece server did not start');
  return {
    url: line,
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/**
 * GET /piece of a full 1 GiB piece of a thousand runs, with a deal's token, five connections, over loopback: CPU of the
 * serving process per GiB beside nginx with one plain file, in rounds that alternate, and how far its memory grows.
 */
export async function benchPiece(): Promise<Record<string, unknown>> {
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-piece-'));
  try {
    await chmod(folder, 0o755);
    await putObjects(folder);
    await using postgres = await startEmbedded({ dataDir: join(folder, 'db'), log: silentLog, signal: never });
    await migrate(postgres.url);
    await using database = connect(postgres.url);
    const dealId = await insertRows(database);
    const secret = randomBytes(32).toString('hex');
    await using ours = await startPieceServer(postgres.url, folder, secret);
    await using nginx = await startNginx(folder);
    const headers = { authorization: `Bearer ${createPieceTokens(secret).tokenFor(dealId)}` };
    const piece: Target = { url: `${ours.url}/piece/${PIECE_CID}`, headers, pid: ours.pid };
    const plain: Target | undefined = nginx && { url: `${nginx.url}/plain.car`, headers: {}, pid: nginx.pid };
    if (plain === undefined) console.log('nginx NOT MEASURED: none in PATH, and NGINX_PATH names none');
    const gib = servedBytes / GIB;
    const rates: Record<'piece' | 'nginx', number[]> = { piece: [], nginx: [] };
    const seconds: number[] = [];
    await fetchAll(piece);
    await writeFile(`/proc/${ours.pid}/clear_refs`, '5');
    const before = (await rssMib(ours.pid)).now;
    for (let round = 0; round < ROUNDS; round += 1) {
      const one = await fetchAll(piece);
      rates.piece.push(one.cpu / gib);
      seconds.push(one.seconds);
      if (plain !== undefined) rates.nginx.push((await fetchAll(plain)).cpu / gib);
    }
    const grown = (await rssMib(ours.pid)).peak - before;
    return tell({ piece: median(rates.piece), nginx: median(rates.nginx), seconds: median(seconds), grown });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function tell({ piece, nginx, seconds, grown }: { piece: number; nginx: number; seconds: number; grown: number }) {
  console.log(`GET /piece of 1 GiB in ${RUNS} runs, ${CONNECTIONS} connections, ${process.arch}`);
  console.log(`  ours     ${piece.toFixed(2)} CPU s/GiB, ${seconds.toFixed(2)} s`);
  console.log(`  nginx    ${Number.isNaN(nginx) ? 'NOT MEASURED' : `${nginx.toFixed(2)} CPU s/GiB`}`);
  console.log(`  memory   grows ${grown.toFixed(1)} MiB`);
  const isMeasured = nginx > 0;
  return {
    bench: 'piece',
    ratios: isMeasured ? { cpu_of_nginx: rounded(piece / nginx) } : {},
    cpu_s_per_gib: rounded(piece),
    nginx_cpu_s_per_gib: isMeasured ? rounded(nginx) : null,
    seconds: rounded(seconds),
    rss_grown_mib: rounded(grown),
  };
}
