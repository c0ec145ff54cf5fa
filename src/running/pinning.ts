import type { Foundation } from './foundation.ts';
import { actOnAllDue } from '../pins/act.ts';
import { authorizationOf, openPinCluster } from '../pins/cluster/cluster-client.ts';
import { findClusterStanding, staleWords } from '../pins/cluster-standing.ts';
import { lookNext } from '../pins/look.ts';
import { probeCluster, type PinDeps } from '../pins/pin-stage.ts';
import { isActDue } from '../pins/pin-store.ts';
import { reconcilePins } from '../pins/pin-wishes.ts';

/** The pins of this process's uploads in an IPFS Cluster. */
export interface Pinning {
  /** What is wrong with what is known of pins, in words. */
  view(): { degraded: string | undefined };
  /** Takes up the work of the role that holds the store. */
  beginActing(): Promise<void>;
  /** Loops of every process; those of the role `aggregate` where it has it. */
  loops(): { name: string; everyMs: number; step: (signal: AbortSignal) => Promise<boolean> }[];
}

/** A pin that is due waits no longer than this; a round with none due is one short query. */
const LOOK_MS = 1_000;
/** How old what is said of the cluster may be. */
const STANDING_MS = 5_000;
/** With few pins none is due for hours, in which nobody would see that the cluster is gone. */
const PROBE_MS = 15_000;
/** For uploads of before the cluster was configured, and what a process without it received: nobody waits for it. */
const RECONCILE_MS = 3_600_000;
/** Uploads of one statement: some tens of milliseconds. */
const RECONCILED = 5_000;

/** Undefined: no IPFS_CLUSTER_URL, and the service itself is the pin. */
export function createPinning(base: Foundation, stack: AsyncDisposableStack): Pinning | undefined {
  const { config, database, store, jobs, clock, log, random } = base;
  if (config.ipfsCluster === undefined) return undefined;
  const { url, token } = config.ipfsCluster;
  const cluster = stack.use(openPinCluster({ url, authorization: token && authorizationOf(token) }));
  const db = database.kysely;
  const deps: PinDeps = { db, store, jobs, clock, log, cluster, rules: { times: base.pinTimes, random } };
  let degraded: string | undefined;
  const cursor = { afterId: 0n };
  const standing = async () => {
    degraded = staleWords(await findClusterStanding(db));
    return false;
  };
  /** Who drops a pin, or lets a wait pass, wakes nobody: the sweep would in half a minute. */
  const lookAndWake = async (signal: AbortSignal) => {
    if ((await isActDue(db)) && (await jobs.missing('pin', [{}])).length > 0) await jobs.send(db, 'pin', {});
    return await lookNext(deps, signal);
  };
  return {
    view: () => ({ degraded }),
    beginActing: () => jobs.work('pin', (_wakeUps, signal) => actOnAllDue(deps, signal)),
    loops: () => [
      { name: 'pin-cluster', everyMs: STANDING_MS, step: standing },
      ...(config.roles.includes('aggregate')
        ? [
            { name: 'pins', everyMs: LOOK_MS, step: lookAndWake },
            { name: 'probe-pin-cluster', everyMs: PROBE_MS, step: (signal: AbortSignal) => probeCluster(deps, signal) },
            { name: 'reconcile-pins', everyMs: RECONCILE_MS, step: () => reconcilePins(db, cursor, RECONCILED) },
          ]
        : []),
    ],
  };
}
