import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import type { ManyJobs } from '../../jobs/jobs.ts';
import { isLive } from '../deal-states.ts';
import { noteChoice } from './choice-store.ts';
import { listLoads } from './facts-store.ts';
import { fitFunds, type Fit } from './money.ts';
import { holdPlan, holdRestored, insertSigned, lockClient, sumReserved } from './proposal-store.ts';
import { isFull, type Refusal } from './rule-out.ts';
import type { ClientState, Plan, Signed } from './sign-drafts.ts';

/** The policy, a provider or the aggregate's deals changed while providers were asked: the plan is not wanted any more. */
export class PlanOvertaken extends Error {
  override readonly name = 'PlanOvertaken';
  override readonly message = 'the policy, the providers or the deals changed while providers were asked';
}

interface CommitDeps {
  db: Kysely<DB>;
  jobs: ManyJobs;
  clock: Clock;
}

export interface Decided {
  plan: Plan;
  refused: Refusal[];
  /** Undefined while the chain shows no such client, or nothing is to be signed. */
  state: ClientState | undefined;
  signed: Signed[];
  /** When slots that stay empty are looked at again; undefined: when something wakes them. */
  tryAgainAt: Date | undefined;
}

export interface Committed {
  dealIds: string[];
  /** Why the first deal that the balance does not allow does not fit. */
  short: string | undefined;
}

/** Two processes may have chosen the same provider at once: under the lock each sees what the other has signed. */
async function checkLoads(trx: Kysely<DB>, { plan, signed }: Decided, at: Date): Promise<void> {
  const { maxInFlightBytes, maxProposalsPerHour } = plan.policy;
  if (maxInFlightBytes === undefined && maxProposalsPerHour === undefined) return;
  const providers = signed.map(({ provider }) => provider);
  for (const load of (await listLoads(trx, providers, at)).values()) {
    if (isFull(load, plan.policy, plan.piece.pieceBytes)) throw new PlanOvertaken();
  }
}

async function insertFitting(trx: Kysely<DB>, deps: CommitDeps, decided: Decided, at: Date): Promise<Fit<Signed>> {
  const { plan, state, signed } = decided;
  if (state === undefined || signed.length === 0) return { fitting: [], short: undefined, lacks: undefined };
  await lockClient(trx, state.client);
  const planned = {
    policyVersion: plan.policy.version,
    providers: signed.map(({ provider }) => provider),
    aggregateId: plan.piece.aggregateId,
    liveDeals: plan.past.filter((deal) => isLive(deal.state)).map(({ id }) => id),
  };
  if (!(await holdPlan(trx, planned))) throw new PlanOvertaken();
  if (plan.piece.restored && !(await holdRestored(trx, planned.aggregateId, at))) throw new PlanOvertaken();
  await checkLoads(trx, decided, at);
  const fit = fitFunds(signed, state.funds, await sumReserved(trx, state.client, state.headEpoch));
  await insertSigned(trx, deps.jobs, fit.fitting, at);
  return fit;
}

/**
 * One transaction: the deals that the balance still allows, the jobs that send them, the decision with its reasons, and
 * the job for the slots that are left. Throws PlanOvertaken, with nothing written, when the plan does not hold any more.
 */
export async function commitPlan(deps: CommitDeps, decided: Decided): Promise<Committed> {
  const { plan, refused, tryAgainAt: startAfter } = decided;
  const { aggregateId } = plan.piece;
  const at = deps.clock.now();
  return await deps.db.transaction().execute(async (trx) => {
    const { fitting, short, lacks } = await insertFitting(trx, deps, decided, at);
    const unfunded = decided.signed
      .filter((deal) => !fitting.includes(deal))
      .map(({ provider }): Refusal => ({ provider, code: lacks ?? 'escrow', reason: short ?? 'the balance is short' }));
    await noteChoice(trx, {
      aggregateId,
      at,
      policyVersion: plan.policy.version,
      chosen: fitting.map(({ chosen }) => chosen),
      refused: [...refused, ...unfunded],
    });
    const filled = fitting.filter(({ chosen }) => chosen.renews === undefined).length;
    if (startAfter !== undefined && filled < plan.wanted.empty)
      await deps.jobs.send(trx, 'propose', { aggregateId: aggregateId.toString() }, { startAfter });
    return { dealIds: fitting.map(({ id }) => id), short };
  });
}
