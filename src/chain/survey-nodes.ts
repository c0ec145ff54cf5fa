import { LadingError } from '../errors.ts';
import { judgeHeads, judgeTipsets, type Standing } from './compare-nodes.ts';
import { parseTipset, parseTipsetBelow } from './head.ts';
import type { Endpoint } from './rpc-endpoint.ts';
import { outcomeOf } from './rpc-endpoint.ts';
import type { Read } from './rpc-call.ts';

/** A healthy node answers both questions at once; one that takes longer must not hold up the others' pass. */
const ANSWER_MS = 5_000;

export interface Survey {
  /** Those to be believed, in the order given. */
  agreed: Endpoint[];
  /** Of those that did not answer. */
  faults: LadingError[];
}

async function askAll<T>(
  nodes: readonly Endpoint[],
  read: Read<T>,
  signal: AbortSignal,
): Promise<{ answers: Map<Endpoint, T>; faults: LadingError[] }> {
  const asked = await Promise.all(
    nodes.map(async (node) => ({
      node,
      outcome: await outcomeOf(node.read({ ...read, timeoutMs: ANSWER_MS }, signal)),
    })),
  );
  const answers = new Map<Endpoint, T>();
  const faults: LadingError[] = [];
  for (const { node, outcome } of asked) {
    if ('error' in outcome) faults.push(outcome.error);
    else answers.set(node, outcome.value);
  }
  return { answers, faults };
}

function nodesDisagree(epoch: number): LadingError {
  return new LadingError('NODES_DISAGREE', `the nodes disagree about epoch ${epoch}`, {
    retry: 'later',
    details: { epoch },
  });
}

/** Once in dispute, a node that is left alone is not right by that: two of them must agree again. */
function isStillDisputed(level: readonly Endpoint[]): boolean {
  return level.length === 1 && level[0]?.health.snapshot().standing === 'disputed';
}

/**
 * Asks all nodes where they stand, and compares them at a height that all of them should have settled. Throws
 * `NODES_DISAGREE` when no majority shows the same chain.
 */
export async function surveyNodes(
  nodes: readonly Endpoint[],
  {
    at,
    lastEpoch,
    lookbackEpochs,
    signal,
  }: { at: Date; lastEpoch: number; lookbackEpochs?: number | undefined; signal: AbortSignal },
): Promise<Survey> {
  const heads = await askAll(nodes, { method: 'ChainHead', params: [], parse: parseTipset }, signal);
  const heights = new Map([...heads.answers].map(([node, { height }]) => [node, height]));
  const { level, behind, ahead, commonHeight } = judgeHeads(heights, { lastEpoch, lookbackEpochs });
  const best = Math.max(0, ...level.map((node) => heights.get(node) ?? 0));
  const stand = (node: Endpoint, standing: Standing) => {
    const height = heights.get(node) ?? 0;
    node.health.compared(at, { standing, height, lagEpochs: Math.max(0, best - height) });
  };
  for (const node of behind) stand(node, 'behind');
  for (const node of ahead) stand(node, 'ahead');
  const parse = parseTipsetBelow(commonHeight);
  const read = { method: 'ChainGetTipSetByHeight' as const, params: [commonHeight, null], parse };
  const tipsets = await askAll(level, read, signal);
  const answered = [...tipsets.answers.keys()];
  if (isStillDisputed(answered)) throw nodesDisagree(commonHeight);
  const standings = judgeTipsets(new Map([...tipsets.answers].map(([node, { key }]) => [node, key.join()])));
  for (const [node, standing] of standings) stand(node, standing);
  if ([...standings.values()].includes('disputed')) throw nodesDisagree(commonHeight);
  return {
    agreed: answered.filter((node) => standings.get(node) === 'agrees'),
    faults: [...heads.faults, ...tipsets.faults],
  };
}
