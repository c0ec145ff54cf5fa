import { setTimeout as delay } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import { CID } from 'multiformats/cid';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { whileAlone } from '../../db/while-alone.ts';
import { LadingError } from '../../errors.ts';
import { verifyBlock } from '../../filecoin/block-hash.ts';
import { carV1Header, openCar } from '../../filecoin/car.ts';
import { FormatError } from '../../filecoin/format-error.ts';
import type { Log } from '../../log/log.ts';
import type { ObjectStore } from '../../storage/store.ts';
import * as rows from './scrub-store.ts';

export interface ScrubDeps {
  db: Kysely<DB>;
  store: ObjectStore;
  clock: Clock;
  log: Log;
  /** Infinity: as fast as it goes. */
  bytesPerSecond: number;
}

export interface ScrubCounts {
  readBytes: number;
  ranges: number;
  damaged: number;
}

/** Ranges of one look-up; progress is saved after each, so a restart reads at most so many again. */
const PAGE_RANGES = 200;
/** After a pass the next one begins so much later at least: a small store need not be read all day. */
const PASS_REST_MS = 24 * 3_600_000;
const KINDS: readonly rows.ScrubKind[] = ['parts', 'trees'];
/** The root that a header names is not looked at where only sections count. */
const ANY_ROOT = CID.parse('bafkqaaa');

/** A store that is out of reach says nothing of the bytes in it. */
const DAMAGE_CODES = ['STORE_OBJECT_MISSING', 'STORE_OBJECT_SHORT'];

/**
 * Reads the next page of stored bytes again, at the rate given, and writes down what is damaged; what is sound again is
 * cleared. True: the pass goes on. One process scrubs at a time.
 */
export async function scrubNext(deps: ScrubDeps, signal: AbortSignal): Promise<boolean> {
  return (await whileAlone(deps.db, 'scrub', () => scrubPage(deps, signal))) ?? false;
}

async function scrubPage(deps: ScrubDeps, signal: AbortSignal): Promise<boolean> {
  const { db, clock } = deps;
  for (const kind of KINDS) {
    const now = clock.now();
    const progress = (await rows.findProgress(db, kind)) ?? { afterId: 0n, readBytes: 0n, passBeganAt: now };
    const isFirst = progress.afterId === 0n;
    if (isFirst && progress.passBeganAt > now) continue;
    const counts = { readBytes: 0, ranges: 0, damaged: 0 };
    const last = await scrubRanges(deps, { kind, afterId: progress.afterId, counts }, signal);
    if (last === undefined) {
      await endPass(deps, kind);
      continue;
    }
    const readBytes = (isFirst ? 0n : progress.readBytes) + BigInt(counts.readBytes);
    await rows.saveProgress(db, kind, { afterId: last, readBytes, passBeganAt: isFirst ? now : progress.passBeganAt });
    return true;
  }
  return false;
}

/** The next pass begins after a rest. */
async function endPass({ db, clock, log }: ScrubDeps, kind: rows.ScrubKind): Promise<void> {
  const endedAt = clock.now();
  const passBeganAt = new Date(endedAt.getTime() + PASS_REST_MS);
  await rows.saveProgress(db, kind, { afterId: 0n, readBytes: 0n, passBeganAt, passEndedAt: endedAt });
  await rows.clearUnneeded(db, endedAt);
  log.info({ kind }, 'scrub.pass_ended');
}

/** Reads everything once, now, at the rate given; `tell` hears of it after each page. */
export async function scrubEverything(
  deps: ScrubDeps,
  tell: (counts: ScrubCounts) => void,
  signal: AbortSignal,
): Promise<ScrubCounts> {
  const counts: ScrubCounts = { readBytes: 0, ranges: 0, damaged: 0 };
  for (const kind of KINDS) {
    let afterId: bigint | undefined = 0n;
    while (afterId !== undefined) {
      afterId = await scrubRanges(deps, { kind, afterId, counts }, signal);
      tell(counts);
    }
    await endPass(deps, kind);
  }
  return counts;
}

interface PageInput {
  kind: rows.ScrubKind;
  afterId: bigint;
  counts: ScrubCounts;
}

/** One page; answers the last id, undefined when there was none. */
async function scrubRanges(
  deps: ScrubDeps,
  { kind, afterId, counts }: PageInput,
  signal: AbortSignal,
): Promise<bigint | undefined> {
  const page = await rows.listRanges(deps.db, kind, afterId, PAGE_RANGES);
  for (const range of page) {
    const what = await findFault(deps, range, signal);
    counts.ranges += 1;
    counts.readBytes += range.lengthBytes;
    if (await settle(deps, range, what)) counts.damaged += 1;
  }
  return page.at(-1)?.id;
}

/** What is wrong with the range, in words; undefined: each of its blocks has its hash. */
async function findFault(deps: ScrubDeps, range: rows.ScrubRange, signal: AbortSignal): Promise<string | undefined> {
  try {
    const { sections } = await openCar(readSlowly(deps, range, signal));
    for await (const { cid, bytes } of sections) verifyBlock(cid, bytes);
    return undefined;
  } catch (error) {
    if (error instanceof FormatError) return error.message;
    if (error instanceof LadingError && DAMAGE_CODES.includes(error.code)) return error.message;
    throw error;
  }
}

/** A header, then the range, no faster than the rate. */
async function* readSlowly(
  { store, bytesPerSecond }: ScrubDeps,
  { objectKey, offset, lengthBytes }: rows.ScrubRange,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  yield carV1Header(ANY_ROOT);
  for await (const chunk of store.read(objectKey, offset, lengthBytes)) {
    signal.throwIfAborted();
    yield chunk;
    const waitMs = (chunk.length / bytesPerSecond) * 1_000;
    if (waitMs > 0) await delay(waitMs, undefined, { signal });
  }
}

/** True: the range is damaged, and somebody needs it. */
async function settle({ db, clock, log }: ScrubDeps, range: rows.ScrubRange, what: string | undefined) {
  const at = clock.now();
  const fields = { objectKey: range.objectKey, offset: range.offset, lengthBytes: range.lengthBytes };
  if (what === undefined) {
    if (await rows.clearDamage(db, range, at)) log.info(fields, 'scrub.damage_cleared');
    return false;
  }
  // It may have been removed or released while it was read.
  if (!(await rows.isStillNeeded(db, range))) return false;
  const { uploadId, aggregateId } = range;
  const subject = { uploadId: uploadId?.toString(), aggregateId: aggregateId?.toString() };
  if (await rows.insertDamage(db, range, what, at)) log.error({ ...fields, ...subject, what }, 'scrub.damage_found');
  return true;
}
