import type { ChainView } from '../api/uploads/status-answer.ts';
import type { ChainPool } from '../chain/chain.ts';
import { createWatchView, findWatchStatus, watchNext, type WatchStatus } from '../deals/watch/watch.ts';
import { setDegraded } from '../deals/watch/watch-view.ts';
import { describeError, LadingError } from '../errors.ts';
import { networks } from '../filecoin/networks.ts';
import type { Foundation } from './foundation.ts';
import type { Jobs } from '../jobs/jobs.ts';

/** Our eyes on the chain. */
export interface Watching {
  /** How often to look. */
  readonly everyMs: number;
  /** One pass; true: there is more to do at once. */
  step(signal: AbortSignal): Promise<boolean>;
  view(): ChainView;
  /** Throws until the endpoint has shown the genesis of our network: nothing is signed or believed before. */
  ensureOwnChain(signal: AbortSignal): Promise<void>;
  /** As ensureOwnChain, but a chain that does not answer now is only logged, as it may answer later. */
  tryOwnChain(signal: AbortSignal): Promise<void>;
}

/** Twice an epoch of the great networks; a pass over a chain that has not moved is two calls. */
const LOOK_MS = 15_000;
/** A devnet's epochs may be as short as a tenth of a second. */
const DEVNET_LOOK_MS = 400;
/** A process that does not watch itself reads what the watching one left. */
const READ_STATUS_MS = 10_000;

function toChainView({ asOf, degraded, limited }: WatchStatus): ChainView {
  const fault = degraded && `${degraded.reason} (since ${degraded.since.toISOString()})`;
  return {
    asOf,
    degraded: [fault, limited].filter((text) => text !== undefined),
    ...(degraded !== undefined && { fault: { since: degraded.since } }),
  };
}

type WatchingDeps = Pick<Foundation, 'chain' | 'clock' | 'config' | 'log' | 'network'> & {
  database: Pick<Foundation['database'], 'kysely'>;
  jobs: Jobs;
};

/** At start, so that a wrong chain is refused at once; later on each endpoint is met again (chain/admission.ts). */
function createMeeting({ network }: WatchingDeps, chain: ChainPool) {
  let met = false;
  return async (signal: AbortSignal): Promise<void> => {
    if (met) return;
    await network.meet(chain, signal);
    met = true;
  };
}

/** The watch of this process; where it has not the role, the status that another process left. Undefined: no chain. */
export function createWatching(base: WatchingDeps): Watching | undefined {
  const { chain, database, jobs, clock, log, config } = base;
  if (chain === undefined) return undefined;
  const watches = config.roles.includes('watch');
  const view = createWatchView();
  const ensureOwnChain = createMeeting(base, chain);
  const genesisSeconds = networks[config.network].genesisSeconds;
  const deps = {
    db: database.kysely,
    jobs,
    chain,
    clock,
    log,
    lookbackEpochs: config.lookbackEpochs,
    view,
    chainTime: genesisSeconds === undefined ? undefined : { genesisSeconds },
  };
  /** What the database holds is shown meanwhile, with how old it is, and that nobody looks. */
  const meetLater = (error: unknown): Promise<void> =>
    setDegraded(deps, error instanceof Error ? error : String(error));
  const lookMs = config.network === 'devnet' ? DEVNET_LOOK_MS : LOOK_MS;
  return {
    everyMs: watches ? lookMs : READ_STATUS_MS,
    async step(signal) {
      if (!watches) {
        view.status = await findWatchStatus(database.kysely, clock);
        return false;
      }
      try {
        await ensureOwnChain(signal);
      } catch (error) {
        if (!signal.aborted) await meetLater(error);
        throw error;
      }
      return watchNext(deps, signal);
    },
    view: () => toChainView(view.status),
    ensureOwnChain,
    async tryOwnChain(signal) {
      try {
        await ensureOwnChain(signal);
      } catch (error) {
        if (error instanceof LadingError && error.code === 'NETWORK_DIFFERS') throw error;
        if (signal.aborted) return;
        await meetLater(error);
        log.warn({ err: describeError(error) }, 'chain.unreachable');
      }
    },
  };
}
