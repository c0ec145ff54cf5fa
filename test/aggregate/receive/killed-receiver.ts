import { writeSync } from 'node:fs';
import { GroupCommit } from '../../../src/aggregate/receive/commit-group.ts';
import { receiveCar, type ReceiveDeps } from '../../../src/aggregate/receive/receive.ts';
import { connect } from '../../../src/db/connect.ts';
import { silentLog } from '../../../src/log/log.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import type { ObjectStore, StagedObject } from '../../../src/storage/store.ts';
import { inChunks } from '../../support/car-builder.ts';
import { carsOf, UPLOADS, type FailPoint, type ReceiverOrder } from './killed-uploads.ts';

/** Receives uploads until it comes to a failpoint for the nth time, and ends there as a machine would that lost its power. */
const LANES = 6;
const order = JSON.parse(process.argv[2] ?? '') as ReceiverOrder;
let left = order.nth;

function reach(point: FailPoint): void {
  if (point !== order.point || (left -= 1) > 0) return;
  process.kill(process.pid, 'SIGKILL');
  // The signal comes from the system in its own time; nothing may happen until then.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
}

function failingStage(staged: StagedObject): StagedObject {
  return {
    write: async (chunk) => {
      await staged.write(chunk);
      reach('written');
    },
    commit: async () => {
      reach('object-commit');
      await staged.commit();
      reach('object-committed');
    },
    abort: () => staged.abort(),
  };
}

const opened = await openLocalStore(order.folder);
const store: ObjectStore = {
  stage: async (key) => {
    const staged = await opened.stage(key);
    reach('staged');
    return failingStage(staged);
  },
  read: (key, offset, length) => opened.read(key, offset, length),
  size: (key) => opened.size(key),
  remove: async (key) => {
    reach('remove');
    await opened.remove(key);
    reach('removed');
  },
  list: () => opened.list(),
  freeBytes: () => opened.freeBytes(),
};
const database = connect(order.url);
const base = {
  kysely: database.kysely,
  store,
  jobs: { send: async () => reach('rows-written') },
  clock: {
    now: () => {
      reach('before-transaction');
      return new Date();
    },
  },
  log: { ...silentLog, info: () => reach('settled') },
};
const deps: ReceiveDeps = {
  ...base,
  limits: { maxUploadBytes: 10n ** 9n, minFreeBytes: 0n, maxBlocks: 10_000, heldCids: 5 },
  ...(order.groups && { groups: new GroupCommit(base) }),
};

let next = 0;
const lane = async () => {
  for (let number = next++; number < UPLOADS; number = next++) {
    for (const car of carsOf(number)) {
      const body = inChunks(car, 4_096);
      const { complete } = await receiveCar(deps, { body, owner: 'service', signal: new AbortController().signal });
      // At once and without a queue of ours: what was told is told, whatever comes.
      writeSync(1, `${number} ${complete}\n`);
    }
  }
};
await Promise.all(Array.from({ length: LANES }, lane));
await database[Symbol.asyncDispose]();
