import type { CID } from 'multiformats/cid';
import { encodeProposal, type DealProposal } from '../../filecoin/proposal.ts';
import type { LedgerPort } from './ledger-port.ts';

export interface PublishReceipt {
  height: number;
  exitCode: number;
  /** Undefined when the actor dropped the deal, or when it has left the market's state. */
  dealId: bigint | undefined;
}

/** What came of one deal in a publish message. Proposals are compared, so the order of the batch need not be known. */
export function receiptOf(ledger: LedgerPort, message: CID, proposal: DealProposal): PublishReceipt | undefined {
  const result = ledger.publishResult(message);
  if (result === undefined) return undefined;
  const ours = encodeProposal({ ...proposal, client: ledger.lookupId(proposal.client) ?? proposal.client });
  const isOurs = (id: bigint) => {
    const onChain = ledger.deal(id);
    return onChain !== undefined && Buffer.compare(encodeProposal(onChain.proposal), ours) === 0;
  };
  return { height: result.height, exitCode: result.exitCode, dealId: result.dealIds.find(isOurs) };
}
