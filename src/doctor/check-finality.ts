import type { Kysely } from 'kysely';
import type { Chain } from '../chain/chain.ts';
import type { DB } from '../db/tables.ts';
import { compareFinality } from '../deals/watch/accept-chain.ts';
import { examine, sound, wrong, type Finding } from './finding.ts';

/** The newest are enough to see what is wrong. */
const MAX_TOLD = 5;

const ADVICE: Record<string, string> = {
  untold: 'it is settled; a node that loses events should be replaced',
  absent: 'it is looked at again at each pass, and settled when that is final',
  another_proposal: 'compare with a block explorer: the chain deal id holds a proposal that is not ours',
  nodes_disagree: 'take the node that is wrong out of CHAIN_RPC_URL; the row is cleared by the daily reading',
};

/** Does this node's chain hold what was final when the watch last looked? */
export async function checkFinality(
  { name, chain, db }: { name: string; chain: Pick<Chain, 'tipsetAt'>; db: Kysely<DB> },
  signal: AbortSignal,
): Promise<Finding[]> {
  const check = `chain.finality ${name}`;
  return examine(check, 'see that the node keeps old tipsets', async () => {
    const found = await compareFinality(db, chain, signal);
    if (found.kind === 'nothing_final') return [sound(check, 'nothing was final yet')];
    if (found.kind === 'agrees') return [sound(check, `shows what was final at epoch ${found.epoch}`)];
    const told = `shows another tipset at epoch ${found.epoch} than the one that was final`;
    const advice =
      `compare with a block explorer: if this node is wrong, take it out of CHAIN_RPC_URL and restart; ` +
      `if it is right, lading doctor --accept-chain ${name} --reason TEXT`;
    return [wrong(check, told, advice)];
  });
}

/** The open disagreements between nodes, each naming deal and nodes. */
export async function checkDifferences(db: Kysely<DB>): Promise<Finding[]> {
  return examine('chain.differences', 'see that the database answers', async () => {
    const rows = await db
      .selectFrom('chain_differences')
      .select(['deal_id', 'kind', 'detail'])
      .where('cleared_at', 'is', null)
      .orderBy('id', 'desc')
      .limit(MAX_TOLD)
      .execute();
    if (rows.length === 0) return [sound('chain.differences', 'events, state and nodes agree')];
    return rows.map(({ deal_id: dealId, kind, detail }) =>
      wrong(`chain.difference ${dealId}`, detail, ADVICE[kind] ?? ''),
    );
  });
}
