import type { Chain } from '../../chain/chain.ts';
import type { MarketDeal } from '../../chain/market.ts';
import { LadingError } from '../../errors.ts';
import { decodeSignedProposal } from '../../filecoin/proposal.ts';
import { compareProposal } from './compare-proposal.ts';
import { insertDifferences } from './difference-store.ts';
import type { WatchDeps } from './watch-sight.ts';
import { listByChainIds, listCandidates, pieceAtKey } from './watch-store.ts';
import { tellAnswers, weighAnswers, type Answer, type Verdict } from './weigh-answers.ts';

/** Another node that shows the same chain. */
export type Witness = Pick<Chain, 'marketDeals' | 'dealEvents'> & { readonly node: string; distrust(): void };

/** What the node that is read from showed of a chain deal, and as of which tipset. */
export interface DealRead {
  chainDealId: bigint;
  tipset: readonly string[];
  /** Undefined: it is not in the state. */
  shown: MarketDeal | undefined;
}

/** Enough for a majority of three: the first is asked of every change, the second only where that one differs. */
export const MAX_WITNESSES = 2;

interface Heard {
  /** Chain deals that no two nodes show alike: nothing of them is to be believed. */
  disputed: ReadonlySet<bigint>;
  /** A node that showed the same, by chain deal. */
  witnesses: ReadonlyMap<bigint, string>;
}

interface Hearing {
  read: DealRead;
  answers: [Answer, ...Answer[]];
  verdict: Verdict;
}

/**
 * Asks a second node what the first has shown, before anything is changed by it; where they differ, a third, and the
 * majority is right. Nodes that cannot answer say nothing, and where none can the first is believed, as is one that is
 * alone. Differences are written down; a node that was outvoted is not read from any more, and throws `NODE_OUTVOTED`
 * where it is the one that this pass reads.
 */
export async function hearWitnesses(
  deps: WatchDeps,
  reads: readonly DealRead[],
  { epoch, signal }: { epoch: number; signal: AbortSignal },
): Promise<Heard> {
  const { node = '', witnesses = [] } = deps.chain;
  const hearings = reads.map((read): Hearing => {
    return { read, answers: [{ node, shown: read.shown }], verdict: { kind: 'alone' } };
  });
  for (const witness of witnesses.slice(0, MAX_WITNESSES)) {
    const open = hearings.filter(({ verdict }) => verdict.kind === 'alone' || verdict.kind === 'disputed');
    if (open.length > 0) await hear(witness, open, signal);
  }
  const differing = hearings.filter(({ verdict }) => verdict.kind === 'disputed' || isSplit(verdict));
  if (differing.length > 0) await noteDiffering(deps, differing, epoch);
  return {
    disputed: idsOf(hearings.filter(({ verdict }) => verdict.kind === 'disputed')),
    witnesses: new Map(hearings.flatMap(({ read, verdict }) => witnessOf(read, verdict, node))),
  };
}

function isSplit(verdict: Verdict): boolean {
  return 'against' in verdict && verdict.against.length > 0;
}

function idsOf(hearings: readonly Hearing[]): Set<bigint> {
  return new Set(hearings.map(({ read }) => read.chainDealId));
}

function witnessOf({ chainDealId }: DealRead, verdict: Verdict, node: string): [bigint, string][] {
  const other = verdict.kind === 'agreed' ? verdict.with.find((one) => one !== node) : undefined;
  return other === undefined ? [] : [[chainDealId, other]];
}

/** The same reads at the same tipsets, each tipset's in one list. */
async function hear(witness: Witness, hearings: readonly Hearing[], signal: AbortSignal): Promise<void> {
  for (const some of Map.groupBy(hearings, ({ read }) => read.tipset.join()).values()) {
    const [first] = some;
    if (first === undefined) continue;
    const { tipset } = first.read;
    const ids = [...idsOf(some)];
    const outcomes = await witness.marketDeals(ids, { tipset, signal });
    signal.throwIfAborted();
    for (const hearing of some) {
      const outcome = outcomes.get(hearing.read.chainDealId);
      // A node that cannot answer, as it has no such tipset or lost its old state, says nothing.
      if (outcome === undefined || 'error' in outcome) continue;
      hearing.answers.push({ node: witness.node, shown: outcome.value });
      hearing.verdict = weighAnswers(hearing.answers);
    }
  }
}

/** Writes down who differs, and passes over who was outvoted. */
async function noteDiffering(deps: WatchDeps, differing: readonly Hearing[], epoch: number): Promise<void> {
  const { db, chain, clock, log } = deps;
  const owners = await findOwners(deps, differing);
  const found = differing.flatMap(({ read: { chainDealId, tipset }, answers, verdict }) => {
    const detail = tellAnswers(chainDealId, answers);
    const dealId = owners.get(chainDealId);
    log.error({ dealId, epoch, verdict: verdict.kind, detail }, 'watch.nodes_disagree');
    return dealId === undefined ? [] : [{ dealId, kind: 'nodes_disagree' as const, detail, tipset }];
  });
  const tipset = found[0]?.tipset ?? [];
  await insertDifferences(db, found, { epoch, tipset, at: clock.now() });
  const liars = new Set(differing.flatMap(({ verdict }) => ('against' in verdict ? verdict.against : [])));
  for (const witness of chain.witnesses ?? []) if (liars.has(witness.node)) witness.distrust();
  if (chain.node === undefined || !liars.has(chain.node)) return;
  chain.distrust?.();
  throw new LadingError('NODE_OUTVOTED', `the node at ${chain.node} shows deals that the others do not`, {
    retry: 'later',
    details: { host: chain.node },
  });
}

/** Whose deals they are: by the id that we know, else by the proposal that one of the nodes shows. */
async function findOwners({ db }: WatchDeps, differing: readonly Hearing[]): Promise<Map<bigint, string>> {
  const known = await listByChainIds(db, [...idsOf(differing)]);
  const owners = new Map(known.flatMap(({ id, chainDealId }) => (chainDealId === null ? [] : [[chainDealId, id]])));
  const shown = differing.flatMap(({ read, answers }) =>
    answers.flatMap((answer) =>
      answer.shown === undefined || owners.has(read.chainDealId)
        ? []
        : [{ chainDealId: read.chainDealId, proposal: answer.shown.proposal }],
    ),
  );
  const candidates = await listCandidates(
    db,
    shown.map(({ proposal }) => proposal),
  );
  for (const { chainDealId, proposal } of shown) {
    const ours = (candidates.get(pieceAtKey(proposal)) ?? []).find(
      ({ signedProposal }) =>
        compareProposal(decodeSignedProposal(signedProposal).proposal, proposal.client, proposal).length === 0,
    );
    if (ours !== undefined) owners.set(chainDealId, ours.id);
  }
  return owners;
}
