import type { CheckAnswer, ServiceApi } from './service-api.ts';
import type { Snapshot } from './progress.ts';

/** An upload has come all the way when each of its replicas is active. */
export function isActive(answer: CheckAnswer | undefined, replicas: number): boolean {
  return (answer?.value.deals.filter(({ status }) => status === 'active').length ?? 0) >= replicas;
}

interface WatchedRun {
  api: ServiceApi;
  replicas: number;
  uploadsTotal: number;
  /** CIDs acknowledged so far. */
  sent: ReadonlyMap<string, unknown>;
  epoch(): number | undefined;
  startedAt: number;
}

function countByStage(deals: { stage: string }[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { stage } of deals) counts[stage] = (counts[stage] ?? 0) + 1;
  return counts;
}

function noteOf(answers: (CheckAnswer | undefined)[], active: number): string {
  const waiting = answers.find((answer) => answer !== undefined && answer.value.deals.length === 0);
  if (waiting?.value.queueing !== undefined) return `next: ${waiting.value.queueing.reason.replaceAll('_', ' ')}`;
  return active === answers.length && active > 0 ? 'every upload is active' : 'following the chain';
}

/** One look at everything, through the service's own API. */
export async function lookAt(run: WatchedRun): Promise<Snapshot> {
  const [deals, aggregates] = await Promise.all([run.api.deals(), run.api.aggregates()]);
  const answers = await Promise.all([...run.sent.keys()].map((cid) => run.api.check(cid)));
  const sealed = aggregates.filter(({ state }) => state === 'sealed').length;
  const active = answers.filter((answer) => isActive(answer, run.replicas)).length;
  return {
    seconds: (Date.now() - run.startedAt) / 1000,
    epoch: run.epoch(),
    uploadsTotal: run.uploadsTotal,
    uploadsReceived: run.sent.size,
    uploadsStowed: aggregates.reduce((total, { entryCount }) => total + entryCount, 0),
    uploadsActive: active,
    aggregatesOpen: aggregates.length - sealed,
    aggregatesSealed: sealed,
    dealsWanted: aggregates.length * run.replicas,
    dealsByState: countByStage(deals),
    note: noteOf(answers, active),
  };
}
