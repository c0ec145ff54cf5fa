import type { CID } from 'multiformats/cid';

import { idAddress } from '../../filecoin/address.ts';
import { cborArray, cborBytes, cborCid, cborNull, cborUint } from '../../filecoin/cbor.ts';
import { EPOCH_SECONDS } from '../../filecoin/networks.ts';
import { blockCid, blockJson, type BlockHeader } from './chain-block.ts';
import { chainCid, cidJson, type SignedMessage } from './chain-message.ts';
import type { ChainPolicy } from './chain-policy.ts';
import { BASE_FEE, type Execution } from './execute-message.ts';
import { drawBytes, drawFraction } from '../seeded-draw.ts';

/** A tipset, kept small: its block headers are drawn again from the seed when somebody reads them. */
export interface Tipset {
  height: number;
  /** Counts reorgs; the same height in another fork has other blocks. */
  fork: number;
  key: readonly CID[];
  parents: readonly CID[];
  weight: bigint;
  stateRoot: CID;
  receiptsRoot: CID;
  /** Ids of the miners of its blocks; all messages are in the first block. */
  miners: readonly bigint[];
  messages: readonly SignedMessage[];
}

export interface TipsetContent {
  height: number;
  fork: number;
  minerIds: readonly bigint[];
  messages: readonly SignedMessage[];
  /** Of the parent tipset's messages. */
  executions: readonly Execution[];
}

/** Real tipsets have about five blocks; a second one now and then shows readers that a key is a list. */
const SECOND_BLOCK_RATE = 0.25;
/** Fuel of the expected-consensus weight: any amount that grows with the number of blocks does. */
export const WEIGHT_PER_BLOCK = 921n;
const VRF_BYTES = 96;
const BEACON_BYTES = 32;
/** A BLS signature over nothing: the point at infinity, compressed. */
const EMPTY_AGGREGATE = Uint8Array.of(0xc0, ...new Uint8Array(VRF_BYTES - 1));
const MOCK_PROOF = { proofType: 0, proof: new Uint8Array(Buffer.from('valid proof')) };

const emptyMessages = messagesRootOf([]);
/** The root of no receipts at all. */
export const emptyReceipts = receiptsRootOf([]);

/** The first tipset; its state holds nothing. */
export function genesisTipset(policy: ChainPolicy): Tipset {
  const root = chainCid(cborArray([cborBytes(Buffer.from(`${policy.seed}/${policy.networkName}`))]));
  return seal(policy, {
    height: 0,
    fork: 0,
    parents: [chainCid(cborNull)],
    weight: 0n,
    stateRoot: root,
    receiptsRoot: receiptsRootOf([]),
    miners: [0n],
    messages: [],
  });
}

/** The next tipset after `parent`. */
export function nextTipset(policy: ChainPolicy, parent: Tipset, content: TipsetContent): Tipset {
  const { height, fork, minerIds, messages } = content;
  const label = `${fork}/${height}`;
  const first = Math.floor(drawFraction(policy.seed, `miner/${label}`) * minerIds.length);
  const isDouble = minerIds.length > 1 && drawFraction(policy.seed, `double/${label}`) < SECOND_BLOCK_RATE;
  const miners = [minerIds[first] ?? 0n, ...(isDouble ? [minerIds[(first + 1) % minerIds.length] ?? 0n] : [])];
  const receiptsRoot = receiptsRootOf(content.executions);
  return seal(policy, {
    height,
    fork,
    parents: parent.key,
    weight: parent.weight + WEIGHT_PER_BLOCK * BigInt(parent.miners.length),
    stateRoot: stateRootAfter(parent, receiptsRoot),
    receiptsRoot,
    miners,
    messages,
  });
}

export function blocksOf(policy: ChainPolicy, tipset: Omit<Tipset, 'key'>): BlockHeader[] {
  return tipset.miners.map((miner, index) => ({
    miner: idAddress(miner),
    ...lottery(policy.seed, tipset, index),
    parents: tipset.parents,
    parentWeight: tipset.weight,
    height: tipset.height,
    parentStateRoot: tipset.stateRoot,
    parentReceipts: tipset.receiptsRoot,
    messages: index === 0 ? messagesRootOf(tipset.messages) : emptyMessages,
    // Chain time: 30 s an epoch from genesis. It runs ahead of the wall clock whenever an epoch takes less than 30 s.
    timestampSeconds: policy.genesisSeconds + EPOCH_SECONDS * tipset.height,
    parentBaseFee: BASE_FEE,
  }));
}

export function tipsetJson(policy: ChainPolicy, tipset: Tipset): Record<string, unknown> {
  return {
    Cids: tipset.key.map((cid) => cidJson(cid)),
    Blocks: blocksOf(policy, tipset).map((block) => blockJson(block)),
    Height: tipset.height,
  };
}

export function receiptJson({ exitCode, returned, gasUsed, eventsRoot }: Execution): Record<string, unknown> {
  return {
    ExitCode: exitCode,
    Return: returned.length === 0 ? null : Buffer.from(returned).toString('base64'),
    GasUsed: gasUsed,
    EventsRoot: eventsRoot === undefined ? null : cidJson(eventsRoot),
  };
}

function seal(policy: ChainPolicy, tipset: Omit<Tipset, 'key'>): Tipset {
  return { ...tipset, key: blocksOf(policy, tipset).map((block) => blockCid(block)) };
}

type Lottery = Pick<
  BlockHeader,
  'ticket' | 'winCount' | 'electionProof' | 'beacon' | 'winningPost' | 'blsAggregate' | 'signature'
>;

/** Everything in a block that needs proofs of storage or a beacon: drawn, as nobody here checks it. */
function lottery(seed: string, { height, fork }: Omit<Tipset, 'key'>, index: number): Lottery {
  const label = `block/${fork}/${height}/${index}`;
  const drawn = drawBytes(seed, label, 3 * VRF_BYTES + BEACON_BYTES);
  const part = (number: number): Uint8Array => drawn.subarray(number * VRF_BYTES, (number + 1) * VRF_BYTES);
  const beacon = [{ round: height, data: drawn.subarray(3 * VRF_BYTES) }];
  if (height === 0) {
    const none = { electionProof: undefined, winningPost: undefined, blsAggregate: undefined, signature: undefined };
    return { ticket: drawn.subarray(3 * VRF_BYTES), winCount: 0, beacon, ...none };
  }
  return {
    ticket: part(0),
    winCount: 1,
    electionProof: part(1),
    beacon,
    winningPost: MOCK_PROOF,
    blsAggregate: { type: 2, data: EMPTY_AGGREGATE },
    signature: { type: 2, data: part(2) },
  };
}

/** A real node has the root of an AMT of messages here, of receipts below, and of the state tree in the last. */
function messagesRootOf(messages: readonly SignedMessage[]): CID {
  const ofType = (isBls: boolean): Uint8Array =>
    cborArray(messages.filter(({ signature }) => (signature.type === 2) === isBls).map(({ cid }) => cborCid(cid)));
  return chainCid(cborArray([ofType(true), ofType(false)]));
}

function receiptsRootOf(executions: readonly Execution[]): CID {
  const receipts = executions.map(({ exitCode, returned, gasUsed, eventsRoot }) =>
    cborArray([
      cborUint(exitCode),
      cborBytes(returned),
      cborUint(gasUsed),
      eventsRoot === undefined ? cborNull : cborCid(eventsRoot),
    ]),
  );
  return chainCid(cborArray(receipts));
}

/** The state is what all messages so far made of it: a chain of their receipts commits to it. */
function stateRootAfter(parent: Tipset, receiptsRoot: CID): CID {
  return chainCid(cborArray([cborCid(parent.stateRoot), cborCid(receiptsRoot), cborUint(parent.height)]));
}
