import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { expect } from 'vitest';
import type { Database } from '../../src/db/connect.ts';
import { checkEverything } from '../checker/check-everything.ts';
import type { ServiceProcess } from '../support/service-process.ts';
import {
  crowdedSlots,
  disagreements,
  doubles,
  doublesOnLedger,
  peaks,
  resendsThatDiffer,
} from './deal-making-truths.ts';
import { MAX_IN_FLIGHT_BYTES, MAX_PER_REGION, REPLICAS, type DealWorld } from './deal-making-world.ts';

/** Printed by a failure, so that a run can be repeated: LADING_SEED=… npm test. */
export const SEED = process.env['LADING_SEED'] ?? 'all kinds';
export const LOOK_MS = 500;

async function activeByAggregate({ kysely }: Database): Promise<number[]> {
  const { rows } = await sql<{ active: number }>`select count(d.id) filter (where d.state = 'active')::integer as active
    from aggregates a left join deals d on d.aggregate_id = a.id where a.state = 'sealed' group by a.id`.execute(
    kysely,
  );
  return rows.map(({ active }) => active);
}

async function tally({ kysely }: Database): Promise<string> {
  const { rows } = await sql<object>`select provider_id, state, reason_code, count(*)::integer from deals
    group by 1, 2, 3 order by 1, 2, 3`.execute(kysely);
  return rows.map((row) => Object.values(row).join(' ')).join('\n');
}

export async function untilFull(database: Database, deadline: number): Promise<void> {
  for (;;) {
    const active = await activeByAggregate(database);
    if (active.every((count) => count === REPLICAS)) return;
    if (Date.now() > deadline) throw new Error(`not all are active in time: ${active.join(' ')}`);
    await sleep(LOOK_MS);
  }
}

interface Limits {
  dataCapBytes: number;
  startDelayEpochs: number;
}

/** What must hold at the end of every story of deal making. */
export async function expectTruths(database: Database, world: DealWorld, limits: Limits): Promise<void> {
  expect(await doubles(database), 'at most one proposal lives at a provider').toEqual([]);
  expect(await crowdedSlots(database), 'at most one deal fills a slot').toEqual([]);
  expect(doublesOnLedger(world.devnet, limits.startDelayEpochs), 'nor does the chain show two').toEqual([]);
  expect(resendsThatDiffer(world)).toEqual([]);
  expect(await disagreements(database, world.devnet)).toEqual([]);
  const most = await peaks(database);
  expect(most.dataCapBytes, 'DataCap promised or spent').toBeLessThanOrEqual(limits.dataCapBytes);
  expect(BigInt(most.escrow), 'escrow promised or locked').toBeLessThanOrEqual(1_000n * 10n ** 18n);
  expect(most.inFlightBytes).toBeLessThanOrEqual(MAX_IN_FLIGHT_BYTES);
  expect(most.perRegion).toBeLessThanOrEqual(MAX_PER_REGION);
  const { devnet, store } = world;
  expect(await checkEverything({ databaseUrl: database.url, store, rpcUrl: devnet.rpcUrl })).toEqual([]);
}

/** A failure tells how all deals stand, and what the services said. */
export async function withTally<T>(
  database: Database,
  services: readonly ServiceProcess[],
  act: () => Promise<T>,
): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    const logs = services.map(({ log }) => log).join('\n---\n');
    throw new Error(`seed '${SEED}':\n${await tally(database)}\n${logs}`, { cause });
  }
}
