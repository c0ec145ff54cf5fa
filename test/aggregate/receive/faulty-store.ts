import type { LocalStore } from '../../../src/storage/local-store.ts';
import type { StagedObject } from '../../../src/storage/store.ts';

type Step = 'stage' | 'write' | 'commit' | 'remove';

/** Fails once, at the nth call of a step, before or after it was done. */
export class FaultPlan {
  #armed: { step: Step; nth: number; after: boolean; code: string } | undefined;

  arm(step: Step, nth: number, { after = false, code = 'EIO' } = {}): void {
    this.#armed = { step, nth, after, code };
  }

  /** True when the fault is still to come. */
  disarm(): boolean {
    const waits = this.#armed !== undefined;
    this.#armed = undefined;
    return waits;
  }

  async run<T>(step: Step, act: () => Promise<T>): Promise<T> {
    const armed = this.#armed;
    if (armed?.step !== step || (armed.nth -= 1) > 0) return act();
    this.#armed = undefined;
    if (armed.after) await act();
    throw Object.assign(new Error(`${armed.code}: ${step}`), { code: armed.code });
  }
}

function faultyStage(staged: StagedObject, plan: FaultPlan): StagedObject {
  return {
    write: (chunk) => plan.run('write', () => staged.write(chunk)),
    commit: () => plan.run('commit', () => staged.commit()),
    abort: () => staged.abort(),
  };
}

/** A real store whose calls fail as planned. */
export function faultyStore(store: LocalStore, plan: FaultPlan): LocalStore {
  return new Proxy(store, {
    get: (target, key) => {
      if (key === 'stage') {
        return (object: string) => plan.run('stage', async () => faultyStage(await target.stage(object), plan));
      }
      if (key === 'remove') return (object: string) => plan.run('remove', () => target.remove(object));
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
