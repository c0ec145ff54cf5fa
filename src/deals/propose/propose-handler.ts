import { describeError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { proposeAggregate, type ProposeChain, type ProposeDeps, type ProposeOutcome } from './propose.ts';
import type { Wallet } from '../wallet.ts';

function report(log: Log, aggregateId: string, outcome: ProposeOutcome): void {
  if (outcome.kind === 'nothing-to-do') return;
  if (outcome.kind === 'signed')
    log.info({ aggregateId, dealIds: outcome.dealIds, waiting: outcome.waiting }, 'propose.signed');
  else log.warn({ aggregateId, reason: outcome.reason }, 'propose.waiting');
}

/** What the handler needs; without a chain or a wallet nothing can be proposed. */
export type ProposeHandlerDeps = Omit<ProposeDeps, 'chain' | 'wallet'> & {
  chain: ProposeChain | undefined;
  wallet: Wallet | undefined;
};

/** The handler of queue 'propose'. One aggregate's failure does not stop the others; it makes the batch try again. */
export function createProposeHandler(deps: ProposeHandlerDeps) {
  const { chain, wallet, log } = deps;
  let saidOff = false;
  return async (jobs: { aggregateId: string }[], signal: AbortSignal): Promise<void> => {
    if (chain === undefined || wallet === undefined) {
      const missing = chain === undefined ? 'CHAIN_RPC_URL' : 'WALLET';
      if (!saidOff)
        log.error({ missing }, 'propose.off: no deals are proposed until this is set and the service started again');
      saidOff = true;
      return;
    }
    const failures: Error[] = [];
    for (const aggregateId of new Set(jobs.map((job) => job.aggregateId))) {
      try {
        report(log, aggregateId, await proposeAggregate({ ...deps, chain, wallet }, BigInt(aggregateId), signal));
      } catch (error) {
        log.warn({ aggregateId, error: describeError(error) }, 'propose.failed');
        failures.push(error instanceof Error ? error : new Error(String(error)));
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map(describeError).join('; '));
  };
}
