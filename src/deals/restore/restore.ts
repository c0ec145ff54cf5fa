import type { Kysely } from 'kysely';
import type { Quota } from '../../aggregate/keep/quota.ts';
import type { Chain } from '../../chain/chain.ts';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { whileAlone } from '../../db/while-alone.ts';
import { describeError, LadingError } from '../../errors.ts';
import { pieceCapacity, pieceCidV1 } from '../../filecoin/piece.ts';
import { createFastCommp } from '../../hashing/commp-engine.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Log } from '../../log/log.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { readProvider, targetOf } from '../send/reach-provider.ts';
import type { Transport } from '../transport/transport.ts';
import { PieceRefused } from './piece-refused.ts';
import { pieceLimits, readPiece, type PieceLimits } from './read-piece.ts';
import { findWanted, listHolders, noteFailed, noteRestored, type Wanted } from './restore-store.ts';
import { whereServed } from './where-served.ts';

export interface RestoreDeps {
  db: Kysely<DB>;
  store: ObjectStore;
  jobs: Jobs;
  chain: Pick<Chain, 'minerInfo'>;
  transport: Pick<Transport, 'transports'>;
  clock: Clock;
  /** Uniform in [0, 1). */
  random: () => number;
  log: Log;
  /** Whether providers at addresses that are not of the public internet are dialed: on a devnet, or by configuration. */
  allowPrivate: boolean;
  /** The store keeps this much free. */
  minFreeBytes: bigint;
  quota: Pick<Quota, 'expect'>;
  limits?: Partial<PieceLimits>;
}

export type RestoreOutcome = 'nothing-to-do' | 'held' | 'restored' | 'failed';

/** Providers bring a disk or a server back in an hour, or in a day. */
const FIRST_WAIT_MS = 3_600_000;
const MAX_WAIT_MS = 86_400_000;

/**
 * Fetches the bytes of a released aggregate back from a provider that proves them, for its repair or renewal. They are
 * hashed as they come, and what is not the piece leaves nothing behind; then the next provider is asked.
 */
export async function restoreBytes(
  deps: RestoreDeps,
  aggregateId: bigint,
  signal: AbortSignal,
): Promise<RestoreOutcome> {
  const outcome = await whileAlone(deps.db, `restore ${aggregateId}`, () => restoreAlone(deps, aggregateId, signal));
  return outcome ?? 'nothing-to-do';
}

async function restoreAlone(deps: RestoreDeps, aggregateId: bigint, signal: AbortSignal): Promise<RestoreOutcome> {
  const { db, jobs, clock } = deps;
  const wanted = await findWanted(db, aggregateId);
  if (wanted === undefined) return 'nothing-to-do';
  const { nextAt } = wanted;
  if (nextAt !== undefined && nextAt > clock.now()) {
    const data = { aggregateId: aggregateId.toString() };
    await db.transaction().execute((trx) => jobs.send(trx, 'restore', data, { startAfter: nextAt }));
    return 'held';
  }
  await checkRoom(deps, wanted);
  const refusals: string[] = [];
  for (const provider of await listHolders(db, aggregateId)) {
    try {
      const objectKey = await fetchFrom(deps, wanted, provider, signal);
      if (!(await noteRestored(db, jobs, { aggregateId, objectKey, provider, at: clock.now() })))
        return 'nothing-to-do';
      deps.log.info({ aggregateId: aggregateId.toString(), provider, objectKey }, 'aggregate.bytes_restored');
      return 'restored';
    } catch (error) {
      if (!(error instanceof PieceRefused)) throw error;
      deps.log.warn(
        { aggregateId: aggregateId.toString(), provider, code: error.fault, why: error.message },
        'aggregate.piece_refused',
      );
      refusals.push(`${provider}: ${error.message}`);
    }
  }
  await noteFailed(db, jobs, { aggregateId, ...failureOf(deps, wanted, refusals) });
  return 'failed';
}

/** Thrown, so that the job comes again: room is a matter of our own. */
async function checkRoom({ store, minFreeBytes, quota }: RestoreDeps, { carBytes }: Wanted): Promise<void> {
  await quota.expect(carBytes);
  const free = await store.freeBytes();
  if (free === undefined || BigInt(free) >= minFreeBytes + BigInt(carBytes)) return;
  throw new LadingError('STORE_FULL', `no room to fetch ${carBytes} bytes back: ${free} are free`, { retry: 'later' });
}

function failureOf({ clock, random }: RestoreDeps, { failures }: Wanted, refusals: readonly string[]) {
  const at = clock.now();
  const waitMs = Math.min(FIRST_WAIT_MS * 2 ** Math.min(failures, 10), MAX_WAIT_MS) * (1 + random() / 10);
  const words = refusals.length === 0 ? 'no provider has an active deal for it' : refusals.join('; ');
  return { at, nextAt: new Date(at.getTime() + waitMs), refusals: words };
}

/** From any of the places where this provider serves pieces; the key of the object. Throws PieceRefused. */
async function fetchFrom(deps: RestoreDeps, wanted: Wanted, id: string, signal: AbortSignal): Promise<string> {
  const target = targetOf(await readProvider(deps, id, signal));
  if (target === undefined) throw new PieceRefused('unreachable', 'no peer id or address is known');
  const places = await whereServed(deps.transport, target, deps, signal);
  signal.throwIfAborted();
  let refused = new PieceRefused('not_served', 'it names no HTTP address for retrievals');
  for (const place of places) {
    try {
      return await fetchCar(deps, wanted, new URL(`piece/${wanted.pieceCid}`, place), signal);
    } catch (error) {
      if (!(error instanceof PieceRefused)) throw error;
      refused = error;
    }
  }
  throw refused;
}

async function fetchCar(deps: RestoreDeps, wanted: Wanted, url: URL, signal: AbortSignal): Promise<string> {
  const { aggregateId, carBytes, pieceBytes } = wanted;
  const capacityBytes = Number(pieceCapacity(pieceBytes));
  const limits = { ...pieceLimits, ...deps.limits };
  const nonce = Math.floor(deps.random() * 2 ** 48).toString(16);
  const objectKey = `cars/${aggregateId}-${deps.clock.now().getTime().toString(16)}${nonce}`;
  const staged = await deps.store.stage(objectKey);
  try {
    const commp = createFastCommp();
    const source = { url, carBytes, capacityBytes, allowPrivate: deps.allowPrivate, limits };
    for await (const chunk of readPiece(source, signal)) {
      commp.update(chunk);
      await staged.write(chunk);
    }
    const { root, paddedBytes } = commp.digest();
    const found = pieceCidV1(root).toString();
    if (found !== wanted.pieceCid || paddedBytes !== pieceBytes)
      throw new PieceRefused('wrong_piece', `what ${url.host} serves is the piece ${found} of ${paddedBytes} bytes`);
    await staged.commit();
    return objectKey;
  } finally {
    // Harmless once it is committed.
    await staged.abort();
  }
}

/** The handler of queue 'restore'. */
export function createRestoreHandler(deps: RestoreDeps) {
  return async (jobs: { aggregateId: string }[], signal: AbortSignal): Promise<void> => {
    const failures: unknown[] = [];
    for (const { aggregateId } of jobs) {
      await restoreBytes(deps, BigInt(aggregateId), signal).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map(describeError).join('; '));
  };
}
