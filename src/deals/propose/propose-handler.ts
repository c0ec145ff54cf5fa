import { describeError } from '../../errors.ts';
import type { Log } from '../../log/log.ts';
import { proposeAggregates, type ProposeChain, type ProposeDeps, type ProposeOutcome } from './propose.ts';
import type { Wallet } from '../wallet/wallet.ts';

function report(log: Log, aggregateId: string, outcome: ProposeOutcome): void {
  if (outcome.kind === 'nothing-to-do') return;
  if (outcome.kind === 'signed')
    log.info({ aggregateId, dealIds: outcome.dealIds, waiting: outcome.waiting }, 'propose.signed');
  else if (outcome.kind === 'failed') log.warn({ aggregateId, error: describeError(outcome.error) }, 'propose.failed');
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
      const hint = 'no deals are proposed until this is set and the service started again';
      if (!saidOff) log.error({ missing, hint }, 'propose.off');
      saidOff = true;
      return;
    }
    const ids = [...new Set(jobs.map(({ aggregateId }) => aggregateId))].map(BigInt);
    const failures: unknown[] = [];
    for (const [id, outcome] of await proposeAggregates({ ...deps, chain, wallet }, ids, signal)) {
      report(log, id.toString(), outcome);
      if (outcome.kind === 'failed') failures.push(outcome.error);
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map(describeError).join('; '));
  };
}
