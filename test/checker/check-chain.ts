import type { Client } from 'pg';

interface ChainDeal {
  Proposal: { PieceCID: { '/': string }; Provider: string; StartEpoch: number; EndEpoch: number };
  State: { SectorStartEpoch: number; SlashEpoch: number };
}

interface OnChainRow {
  id: string;
  state: string;
  chain_deal_id: string;
  provider_id: string;
  piece_cid: string;
  sector_start_epoch: string | null;
}

async function readDeal(rpcUrl: string, id: number): Promise<ChainDeal | undefined> {
  const response = await fetch(rpcUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'Filecoin.StateMarketStorageDeal', params: [id, null] }),
  });
  const answer: unknown = await response.json();
  return typeof answer === 'object' && answer !== null && 'result' in answer ? (answer.result as ChainDeal) : undefined;
}

function compare(row: OnChainRow, deal: ChainDeal | undefined): string | undefined {
  if (deal === undefined) return `deal ${row.id} is ${row.state} as ${row.chain_deal_id}, the chain has no such deal`;
  if (deal.Proposal.PieceCID['/'] !== row.piece_cid || deal.Proposal.Provider !== row.provider_id) {
    return `deal ${row.id} took ${row.chain_deal_id}, which is a deal of ${deal.Proposal.Provider} on ${deal.Proposal.PieceCID['/']}`;
  }
  if (row.state === 'active' && deal.State.SectorStartEpoch !== Number(row.sector_start_epoch)) {
    return `deal ${row.id} is active since ${row.sector_start_epoch}, the chain says ${deal.State.SectorStartEpoch}`;
  }
  return undefined;
}

/** No row is ahead of the chain: what we call published or active, the chain's own head holds. */
export async function brokenChainClaims(client: Client, rpcUrl: string): Promise<string[]> {
  const { rows } = await client.query<OnChainRow>(
    `select d.id, d.state, d.chain_deal_id, d.provider_id, d.sector_start_epoch, a.piece_cid
     from deals d join aggregates a on a.id = d.aggregate_id where d.state in ('published', 'active')`,
  );
  const broken: string[] = [];
  for (const row of rows) {
    const fault = compare(row, await readDeal(rpcUrl, Number(row.chain_deal_id)));
    if (fault !== undefined) broken.push(fault);
  }
  return broken;
}
