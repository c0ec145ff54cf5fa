import { join } from 'node:path';
import { createQuota } from '../aggregate/keep/quota.ts';
import { GroupCommit } from '../aggregate/receive/commit-group.ts';
import { receiveCar, type ReceiveInput, type Received } from '../aggregate/receive/receive.ts';
import { receiveLimits } from '../aggregate/receive/receive-limits.ts';
import type { Foundation } from './foundation.ts';
import { wantPinsOnCompletion } from '../pins/pin-wishes.ts';

/** The way in for uploads, whoever brings them: a request, or we ourselves who fetched them. */
export interface Receiver {
  receive(input: ReceiveInput): Promise<Received>;
  /** Throws `STORE_QUOTA` when so many more bytes are not to be stored. */
  expect(bytes: number): Promise<void>;
  /** Resolves when nothing of it is in hand. */
  idle(): Promise<void>;
}

/** One for a process: its memory for small uploads is shared by all of them. */
export function createReceiver({ config, database, store, jobs, clock, log }: Foundation): Receiver {
  const { kysely } = database;
  const quota = createQuota({ kysely, clock, quotaBytes: config.storeQuotaBytes });
  const spillFolder = join(config.dataDir, 'spill');
  const onComplete = config.ipfsCluster && wantPinsOnCompletion(jobs);
  const groups = new GroupCommit({ kysely, store, jobs, clock, log, onComplete });
  const deps = { kysely, store, jobs, clock, log, limits: receiveLimits(config), groups, spillFolder, onComplete };
  return {
    async receive(input) {
      await quota.expect(input.declaredBytes ?? 0);
      return await receiveCar(deps, { ...input, body: quota.meter(input.body) });
    },
    expect: (bytes) => quota.expect(bytes),
    idle: () => groups.idle(),
  };
}
