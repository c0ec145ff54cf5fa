import { describe, expect, it } from 'vitest';

import { blockCid, blockJson, type BlockHeader } from '../../../src/devnet/ledger/chain-block.ts';
import { messageJson, restoreMessage, sealMessage, storeMessage } from '../../../src/devnet/ledger/chain-message.ts';
import { parseAddress } from '../../../src/filecoin/address.ts';
import { parseCid } from '../../../src/filecoin/cid.ts';
import type { Signature } from '../../../src/filecoin/signature.ts';
import { resultOf } from '../rpc/lotus-pairs.ts';

interface RecordedSignature {
  Type: 1 | 2 | 3;
  Data: string;
}

interface RecordedBlock {
  Miner: string;
  Ticket: { VRFProof: string };
  ElectionProof: { WinCount: number; VRFProof: string | null };
  BeaconEntries: { Round: number; Data: string }[];
  WinPoStProof: { PoStProof: number; ProofBytes: string }[] | null;
  Parents: { '/': string }[];
  ParentWeight: string;
  Height: number;
  ParentStateRoot: { '/': string };
  ParentMessageReceipts: { '/': string };
  Messages: { '/': string };
  BLSAggregate: RecordedSignature | null;
  Timestamp: number;
  BlockSig: RecordedSignature | null;
  ParentBaseFee: string;
}

interface RecordedTipset {
  Cids: { '/': string }[];
  Blocks: RecordedBlock[];
}

type RecordedMessage = Record<string, string> & { Nonce: number; GasLimit: number; CID: object };

const bytes = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, 'base64'));

function signature(recorded: RecordedSignature | null): Signature | undefined {
  return recorded === null ? undefined : { type: recorded.Type, data: bytes(recorded.Data) };
}

function header(recorded: RecordedBlock): BlockHeader {
  const proof = recorded.WinPoStProof?.[0];
  const election = recorded.ElectionProof.VRFProof;
  return {
    miner: parseAddress(recorded.Miner),
    ticket: bytes(recorded.Ticket.VRFProof),
    winCount: recorded.ElectionProof.WinCount,
    electionProof: election === null ? undefined : bytes(election),
    beacon: recorded.BeaconEntries.map(({ Round, Data }) => ({ round: Round, data: bytes(Data) })),
    winningPost: proof === undefined ? undefined : { proofType: proof.PoStProof, proof: bytes(proof.ProofBytes) },
    parents: recorded.Parents.map((cid) => parseCid(cid['/'])),
    parentWeight: BigInt(recorded.ParentWeight),
    height: recorded.Height,
    parentStateRoot: parseCid(recorded.ParentStateRoot['/']),
    parentReceipts: parseCid(recorded.ParentMessageReceipts['/']),
    messages: parseCid(recorded.Messages['/']),
    blsAggregate: signature(recorded.BLSAggregate),
    timestampSeconds: recorded.Timestamp,
    signature: signature(recorded.BlockSig),
    parentBaseFee: BigInt(recorded.ParentBaseFee),
  };
}

describe('blocks of a real Lotus node', () => {
  it.each([
    ['the head', 'Filecoin.ChainHead'],
    ['the finalized tipset', 'Filecoin.ChainGetFinalizedTipSet'],
    ['genesis', 'Filecoin.ChainGetGenesis'],
    ['a tipset before a null round', 'Filecoin.ChainGetTipSetByHeight'],
  ])('%s hashes to its own CID and reads back as it was', (_, method) => {
    const { Cids, Blocks } = resultOf(method) as RecordedTipset;
    for (const [index, block] of Blocks.entries()) {
      expect(blockCid(header(block)).toString()).toBe(Cids[index]?.['/']);
      expect(JSON.stringify(blockJson(header(block)))).toBe(JSON.stringify(block));
    }
  });

  it('a BLS message goes by the CID of its bare form, and survives the journal', () => {
    const recorded = resultOf('Filecoin.ChainGetMessage') as RecordedMessage;
    const message = {
      to: parseAddress(recorded['To'] ?? ''),
      from: parseAddress(recorded['From'] ?? ''),
      nonce: recorded.Nonce,
      value: BigInt(recorded['Value'] ?? ''),
      gasLimit: recorded.GasLimit,
      gasFeeCap: BigInt(recorded['GasFeeCap'] ?? ''),
      gasPremium: BigInt(recorded['GasPremium'] ?? ''),
      method: BigInt(recorded['Method'] ?? ''),
      params: bytes(recorded['Params'] ?? ''),
    };
    const signed = sealMessage(message, { type: 2, data: new Uint8Array(96) });
    expect(JSON.stringify(messageJson(signed))).toBe(JSON.stringify(recorded));
    expect(restoreMessage(storeMessage(signed))).toEqual(signed);
  });
});
