import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { sweepOrphans } from '../../../src/aggregate/keep/sweep-orphans.ts';
import type { Database } from '../../../src/db/connect.ts';
import { openLocalStore, type LocalStore } from '../../../src/storage/local-store.ts';
import { testDatabase } from '../../support/database.ts';
import { gather } from '../../support/gather.ts';
import { filesBelow, temporaryFolder } from '../../support/temporary-folder.ts';
import { brokenRows } from '../aggregate-fixture.ts';
import { expectedSections, failPoints, UPLOADS, uploadOf, type ReceiverOrder } from './killed-uploads.ts';
import { sectionsOf } from './split-car.ts';

const RECEIVER = fileURLToPath(new URL('./killed-receiver.ts', import.meta.url));
const NTH = 5;

/** Runs a receiver until it is killed; answers how it ended and what it had acknowledged: a line each. */
async function receiveUntilKilled(order: ReceiverOrder) {
  const child = spawn(process.execPath, [RECEIVER, JSON.stringify(order)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const told: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => told.push(chunk));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  const acknowledged = Buffer.concat(told).toString().split('\n').filter(Boolean);
  return { code, signal, acknowledged };
}

async function runOf({ kysely }: Database, store: LocalStore, root: string): Promise<string[]> {
  const parts = await kysely
    .selectFrom('parts as p')
    .innerJoin('uploads as u', 'u.id', 'p.upload_id')
    .select(['p.object_key', 'p.object_offset', 'p.length_bytes'])
    .where('u.root', '=', root)
    .where('u.state', '=', 'waiting')
    .orderBy('p.run_seq')
    .execute();
  const reads = parts.map((part) =>
    gather(store.read(part.object_key, Number(part.object_offset), Number(part.length_bytes))),
  );
  return sectionsOf(Buffer.concat((await Promise.all(reads)).flat())).sort();
}

/** Every range that a row names can be read, of uploads that nobody was told of too. */
async function readAllParts({ kysely }: Database, store: LocalStore): Promise<number> {
  const parts = await kysely.selectFrom('parts').selectAll().execute();
  for (const { object_key: key, object_offset: offset, length_bytes: length } of parts) {
    const bytes = Buffer.concat(await gather(store.read(key, Number(offset), Number(length))));
    expect(bytes).toHaveLength(Number(length));
  }
  return new Set(parts.map((part) => part.object_key)).size;
}

/** Objects of groups are left to the sweep. */
const cases = [true, false].flatMap((groups) =>
  failPoints.filter((point) => !groups || !point.startsWith('remove')).map((point) => ({ point, groups })),
);

test.each(cases)(
  'killed at $point (groups: $groups): what was acknowledged is there, and nothing stays that has no name',
  async ({ point, groups }) => {
    await using database = await testDatabase();
    await using folder = await temporaryFolder();
    const order = { url: database.url, folder: folder.path, point, nth: NTH, groups };
    const { code, signal, acknowledged } = await receiveUntilKilled(order);
    expect({ code, signal }).toEqual({ code: null, signal: 'SIGKILL' });

    const store = await openLocalStore(folder.path);
    await store.sweepStaging(0);
    await sweepOrphans(
      { kysely: database.kysely, store, clock: { now: () => new Date() } },
      { graceMs: 0, pauseMs: 0 },
    );
    for (const line of acknowledged) {
      const [number, complete] = line.split(' ');
      if (complete !== 'true') continue;
      const { root } = uploadOf(Number(number));
      expect(await runOf(database, store, root)).toEqual(expectedSections(Number(number)));
    }
    const named = await readAllParts(database, store);
    expect(await filesBelow(folder.path)).toHaveLength(named);
    expect(await brokenRows(database)).toEqual([]);

    // The next one takes up where this one was cut off, with the same uploads, and all come through.
    const again = await receiveUntilKilled({ ...order, nth: Number.MAX_SAFE_INTEGER });
    expect(again.code).toBe(0);
    const waiting = await database.kysely.selectFrom('uploads').select('root').where('state', '=', 'waiting').execute();
    expect(waiting).toHaveLength(UPLOADS);
  },
  60_000,
);
