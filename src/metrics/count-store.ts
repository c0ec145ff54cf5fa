import type { ReadOptions, ServiceStore, StagedObject } from '../storage/store.ts';

/** What the object store did, and how long it took. */
export interface StoreAct {
  /** `read`: until its first bytes; `commit`: until all is durable. What lies between is the pace of others. */
  operation: 'read' | 'commit' | 'size' | 'remove' | 'probe';
  failed: boolean;
  ms: number;
}

export interface StoreTold {
  storeActed(act: StoreAct): void;
  storeMoved(direction: 'read' | 'written', bytes: number): void;
}

/** The same store, which tells of what it does: no stage knows of it. */
export function countStore(store: ServiceStore, told: StoreTold): ServiceStore {
  const timed = async <T>(operation: StoreAct['operation'], act: Promise<T>): Promise<T> => {
    const begun = performance.now();
    const tell = (failed: boolean) => told.storeActed({ operation, failed, ms: performance.now() - begun });
    try {
      const done = await act;
      tell(false);
      return done;
    } catch (error) {
      tell(true);
      throw error;
    }
  };
  return {
    stage: async (key) => countStaged(await store.stage(key), timed, told),
    read: (key, offset, length, options?: ReadOptions) => ({
      [Symbol.asyncIterator]() {
        const chunks = store.read(key, offset, length, options)[Symbol.asyncIterator]();
        let isFirst = true;
        const next = async () => {
          const chunk = chunks.next();
          const result = await (isFirst ? timed('read', chunk) : chunk);
          isFirst = false;
          if (result.done !== true) told.storeMoved('read', result.value.length);
          return result;
        };
        return { next, return: async () => (await chunks.return?.()) ?? { done: true, value: undefined } };
      },
    }),
    size: (key) => timed('size', store.size(key)),
    remove: (key) => timed('remove', store.remove(key)),
    list: () => store.list(),
    freeBytes: () => store.freeBytes(),
    probe: () => timed('probe', store.probe()),
    sweepStaging: (graceMs) => store.sweepStaging(graceMs),
    close: () => store.close(),
  };
}

type Timed = <T>(operation: StoreAct['operation'], act: Promise<T>) => Promise<T>;

function countStaged(staged: StagedObject, timed: Timed, { storeMoved }: StoreTold): StagedObject {
  return {
    async write(chunk) {
      const { length } = chunk;
      await staged.write(chunk);
      storeMoved('written', length);
    },
    commit: () => timed('commit', staged.commit()),
    abort: () => staged.abort(),
  };
}
