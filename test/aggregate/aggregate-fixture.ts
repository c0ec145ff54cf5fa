import { CarBlockIterator } from '@ipld/car';
import { sql, type Kysely } from 'kysely';
import { Client } from 'pg';
import type { Clock } from '../../src/clock.ts';
import type { Database } from '../../src/db/connect.ts';
import type { DB } from '../../src/db/tables.ts';
import type { JobData, QueueName } from '../../src/jobs/job-queues.ts';
import type { Jobs } from '../../src/jobs/jobs.ts';
import { silentLog } from '../../src/log/log.ts';
import type { ObjectStore } from '../../src/storage/store.ts';
import type { SealRules } from '../../src/aggregate/place/placement-rules.ts';
import { brokenRowRules } from '../checker/check-rows.ts';
import { sampleUpload, section, type Block } from '../support/car-builder.ts';

export const HOUR_MS = 3_600_000;
export const START = new Date('2026-01-01T00:00:00.000Z');
export const never = new AbortController().signal;

/** A small piece, so that a few uploads of some kilobytes fill it. */
export const rules: SealRules = {
  pieceBytes: 65_536n,
  minPieceBytes: 32_768n,
  minFillBytes: 32_513n,
  maxAgeMs: 12 * HOUR_MS,
  forceAgeMs: 48 * HOUR_MS,
  openAggregates: 3,
};

export interface SetClock extends Clock {
  set(hours: number): void;
}

export function setClock(): SetClock {
  let at = START;
  return { now: () => at, set: (hours) => (at = new Date(START.getTime() + hours * HOUR_MS)) };
}

export interface SentJob {
  queue: QueueName;
  data: JobData[QueueName];
  start_after: Date | null;
}

/** Jobs as rows of a plain table: they come and go with their transaction, as pg-boss's do. */
export async function tableJobs(db: Kysely<DB>): Promise<Jobs & { sent(): Promise<SentJob[]> }> {
  await sql`create table sent_jobs (id integer generated always as identity, queue text, data jsonb, start_after timestamptz)`.execute(
    db,
  );
  return {
    send: async (trx, queue, data, { startAfter } = {}) => {
      await sql`insert into sent_jobs (queue, data, start_after) values (${queue}, ${data}, ${startAfter ?? null})`.execute(
        trx,
      );
    },
    sent: async () => {
      const { rows } = await sql<SentJob>`select queue, data, start_after from sent_jobs order by id`.execute(db);
      return rows;
    },
  };
}

export async function stowDeps(database: Database, clock: Clock = setClock(), change: Partial<SealRules> = {}) {
  const jobs = await tableJobs(database.kysely);
  return { db: database.kysely, jobs, clock, rules: { ...rules, ...change }, log: silentLog };
}

export async function putObject(store: ObjectStore, key: string, bytes: Uint8Array): Promise<void> {
  const staged = await store.stage(key);
  await staged.write(bytes);
  await staged.commit();
}

/** A stored part: a range of an object. `runSeq` undefined: kept, but in no run. */
export interface PartRow {
  key: string;
  offset: number;
  length: number;
  blocks: number;
  runSeq?: number;
}

export interface UploadRow {
  root: string;
  blocks: readonly Block[];
  parts: readonly PartRow[];
  acceptedHours?: number;
}

/** A complete upload as receive leaves it. */
export async function insertUpload(
  db: Kysely<DB>,
  { root, blocks, parts, acceptedHours = 0 }: UploadRow,
): Promise<bigint> {
  const at = new Date(START.getTime() + acceptedHours * HOUR_MS);
  const inRun = parts.filter(({ runSeq }) => runSeq !== undefined);
  return await db.transaction().execute(async (trx) => {
    const { id } = await trx
      .insertInto('uploads')
      .values({
        root,
        state: 'waiting',
        run_bytes: BigInt(inRun.reduce((sum, { length }) => sum + length, 0)),
        dag_bytes: BigInt(blocks.reduce((sum, { bytes }) => sum + bytes.length, 0)),
        block_count: BigInt(blocks.length),
        created_at: at,
        changed_at: at,
      })
      .returning('id')
      .executeTakeFirstOrThrow();
    for (const part of parts) {
      await trx
        .insertInto('parts')
        .values({
          upload_id: id,
          object_key: part.key,
          object_offset: BigInt(part.offset),
          length_bytes: BigInt(part.length),
          block_count: BigInt(part.blocks),
          run_seq: part.runSeq ?? null,
          created_at: at,
        })
        .execute();
    }
    await trx.insertInto('events').values({ at, upload_id: id, from_state: null, to_state: 'waiting' }).execute();
    return id;
  });
}

/** An upload that exists in rows alone: enough for stow, which reads no bytes. */
export async function insertBareUpload(
  db: Kysely<DB>,
  seed: string,
  runBytes: number,
  acceptedHours = 0,
): Promise<bigint> {
  const { root, blocks } = sampleUpload(seed, 1);
  const part = { key: `runs/${seed}`, offset: 0, length: runBytes, blocks: blocks.length, runSeq: 0 };
  return await insertUpload(db, { root: root.toString(), blocks, parts: [part], acceptedHours });
}

/** An upload whose run is one stored object of its own. */
export async function storeUpload(db: Kysely<DB>, store: ObjectStore, seed: string, leaves = 3) {
  const { root, blocks, run } = sampleUpload(seed, leaves);
  await putObject(store, `runs/${seed}`, run);
  const part = { key: `runs/${seed}`, offset: 0, length: run.length, blocks: blocks.length, runSeq: 0 };
  const id = await insertUpload(db, { root: root.toString(), blocks, parts: [part] });
  return { id, root: root.toString(), blocks, run };
}

/** An upload that came in two parts, with a repeated block in a third one that is in no run; a neighbour shares an object. */
export async function storeUploadInParts(db: Kysely<DB>, store: ObjectStore, seed: string) {
  const { root, blocks, run } = sampleUpload(seed, 5);
  const first = Buffer.concat(blocks.slice(0, 2).map(section));
  const second = run.subarray(first.length);
  const filler = Buffer.from('bytes of another upload in the same segment');
  await putObject(store, `runs/${seed}-a`, Buffer.concat([filler, second, filler]));
  await putObject(store, `runs/${seed}-b`, first);
  await putObject(store, `runs/${seed}-c`, first);
  const parts = [
    { key: `runs/${seed}-a`, offset: filler.length, length: second.length, blocks: blocks.length - 2, runSeq: 1 },
    { key: `runs/${seed}-b`, offset: 0, length: first.length, blocks: 2, runSeq: 0 },
    { key: `runs/${seed}-c`, offset: 0, length: first.length, blocks: 2 },
  ];
  const id = await insertUpload(db, { root: root.toString(), blocks, parts });
  return { id, root: root.toString(), blocks, run };
}

/** Rules of the rows that are broken, by the checker that shares nothing with src. */
export async function brokenRows(database: Database): Promise<string[]> {
  return await withClient(database, brokenRowRules);
}

export async function withClient<T>({ url }: Database, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** All blocks of a CAR by CID, read by @ipld/car to the last byte; a repeated CID keeps its first place. */
export async function readCar(
  bytes: Uint8Array,
): Promise<{ roots: string[]; blocks: Map<string, Uint8Array>; count: number }> {
  const reader = await CarBlockIterator.fromBytes(bytes);
  const blocks = new Map<string, Uint8Array>();
  let count = 0;
  for await (const { cid, bytes: block } of reader) {
    count += 1;
    if (!blocks.has(cid.toString())) blocks.set(cid.toString(), block);
  }
  return { roots: (await reader.getRoots()).map(String), blocks, count };
}
