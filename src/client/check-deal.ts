import type { InclusionProof } from '../filecoin/inclusion-proof.ts';
import { fieldOf } from './field-of.ts';
import type { NotVerified } from './verify.ts';

/** Any Lotus-compatible node, `https://…/rpc/v1`: the caller's own choice, as the answer is only as good as the node. */
export interface ChainNode {
  url: string;
  token?: string;
  /** For tests and proxies; the platform's own otherwise. */
  fetch?: typeof fetch;
}

type OnChainState = 'published' | 'active' | 'expired' | 'slashed';

/** What the chain says of a deal that holds the proof's piece. Epochs. */
export interface ChainDeal {
  verified: true;
  dealId: number;
  provider: string;
  /** Only `active` means that a provider proves to the chain, day by day, that it stores the piece. */
  state: OnChainState;
  startEpoch: number;
  endEpoch: number;
  /** The deal's label names the batch root of the proof. */
  namesBatchRoot: boolean;
}

/** A node answers within seconds, or is better asked again. */
const TIMEOUT_MS = 30_000;

/**
 * Asks the chain for a deal and compares its piece with the proof's. Not verified: the node refused or cannot be
 * reached, there is no such deal, or it holds another piece.
 */
export async function checkDeal(
  node: ChainNode,
  { dealId, proof }: { dealId: number; proof: InclusionProof },
): Promise<ChainDeal | NotVerified> {
  const deal = await ask(node, 'StateMarketStorageDeal', [dealId, null]);
  if (!deal.answered) return deal.fault;
  const head = await ask(node, 'ChainHead', []);
  if (!head.answered) return head.fault;
  return readDeal(proof, dealId, { deal: deal.result, headEpoch: fieldOf(head.result, 'Height') });
}

interface Seen {
  deal: unknown;
  headEpoch: unknown;
}

function readDeal(proof: InclusionProof, dealId: number, { deal, headEpoch }: Seen): ChainDeal | NotVerified {
  const proposal = fieldOf(deal, 'Proposal');
  const state = fieldOf(deal, 'State');
  const pieceCid = fieldOf(fieldOf(proposal, 'PieceCID'), '/');
  const provider = fieldOf(proposal, 'Provider');
  const epochs = [fieldOf(proposal, 'StartEpoch'), fieldOf(proposal, 'EndEpoch'), fieldOf(state, 'SectorStartEpoch')];
  const [startEpoch, endEpoch, sectorStartEpoch, slashEpoch, now] = [
    ...epochs,
    fieldOf(state, 'SlashEpoch'),
    headEpoch,
  ];
  if (typeof pieceCid !== 'string' || typeof provider !== 'string') return unreadable(dealId);
  if (!isEpoch(startEpoch) || !isEpoch(endEpoch) || !isEpoch(sectorStartEpoch)) return unreadable(dealId);
  if (!isEpoch(slashEpoch) || !isEpoch(now)) return unreadable(dealId);
  if (pieceCid !== proof.pieceCid || fieldOf(proposal, 'PieceSize') !== proof.pieceSize) {
    return fault('ANOTHER_PIECE', `deal ${dealId} holds the piece ${pieceCid}, not ${proof.pieceCid}`);
  }
  return {
    verified: true,
    dealId,
    provider,
    state: stateAt(now, { endEpoch, sectorStartEpoch, slashEpoch }),
    startEpoch,
    endEpoch,
    namesBatchRoot: fieldOf(proposal, 'Label') === proof.batchRootCid,
  };
}

/** The market actor writes −1 where a thing has not happened. */
function stateAt(
  now: number,
  { endEpoch, sectorStartEpoch, slashEpoch }: { endEpoch: number; sectorStartEpoch: number; slashEpoch: number },
): OnChainState {
  if (slashEpoch >= 0) return 'slashed';
  if (now >= endEpoch) return 'expired';
  return sectorStartEpoch >= 0 ? 'active' : 'published';
}

type Answer = { answered: true; result: unknown } | { answered: false; fault: NotVerified };

async function ask({ url, token, fetch: call = fetch }: ChainNode, method: string, params: unknown[]): Promise<Answer> {
  const headers = {
    'content-type': 'application/json',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: `Filecoin.${method}`, params });
  let answer: unknown;
  try {
    const response = await call(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(TIMEOUT_MS) });
    answer = await response.json();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { answered: false, fault: fault('CHAIN_UNREACHABLE', `the node gave no answer to ${method}: ${why}`) };
  }
  const refusal = fieldOf(fieldOf(answer, 'error'), 'message');
  if (refusal !== undefined) {
    return {
      answered: false,
      fault: fault(
        'CHAIN_REFUSED',
        `the node says to ${method}: ${typeof refusal === 'string' ? refusal : JSON.stringify(refusal)}`,
      ),
    };
  }
  return { answered: true, result: fieldOf(answer, 'result') };
}

function isEpoch(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value);
}

function unreadable(dealId: number): NotVerified {
  return fault('CHAIN_UNREADABLE', `the node's answer on deal ${dealId} is not one of a Lotus node`);
}

function fault(code: string, reason: string): NotVerified {
  return { verified: false, code, reason };
}
