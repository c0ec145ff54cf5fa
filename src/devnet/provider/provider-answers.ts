import { setTimeout as sleep } from 'node:timers/promises';
import { multiaddr } from '@multiformats/multiaddr';
import { CID } from 'multiformats/cid';
import { formatAddress, sameAddress } from '../../filecoin/address.ts';
import { cborArray, cborBytes, cborMap, cborText } from '../../filecoin/cbor.ts';
import { decodeAskRequest, encodeAsk, encodeAskResponse, type StorageAsk } from '../../filecoin/mk12-ask.ts';
import { uuidBytes } from '../../filecoin/mk12-fields.ts';
import { decodeDealParams, encodeDealResponse } from '../../filecoin/mk12-propose.ts';
import {
  decodeDealStatusRequest,
  encodeDealStatusResponse,
  type DealStatusRequest,
  type DealStatusResponse,
} from '../../filecoin/mk12-status.ts';
import { decodeSignedProposal, signedProposalCid } from '../../filecoin/proposal.ts';
import { verifySignature, type Signature } from '../../filecoin/signature.ts';
import { acceptanceFault, validationFault, type Candidate, type ChainFacts } from './check-proposal.ts';
import { curioAcceptanceFault, curioStatus } from './curio-ways.ts';
import { receivedBytes } from './piece-chunks.ts';
import type { ProviderContext } from './provider-context.ts';
import { isPast, type ProviderDeal } from './provider-deals.ts';
import { piecePath } from './receive-piece.ts';

/** Boost's DefaultDuration of an ask (storedask.go). */
const ASK_EPOCHS = 1_000_000;
/** cbor-gen refuses longer texts; a refusal that quotes hostile params could be longer. */
const MAX_MESSAGE_CHARACTERS = 2_000;

interface SignedCandidate extends Candidate {
  signature: Signature;
  proposalBytes: Uint8Array;
}

/** Answers with the persona's manners: never, late, or by losing the answer. `decide` throws for a malformed request. */
export async function answerAs(
  context: ProviderContext,
  decide: () => Uint8Array | Promise<Uint8Array>,
): Promise<Uint8Array | undefined> {
  if (context.persona().hang) return untilClosed(context.signal);
  const answer = await decodedOrNothing(context, decide);
  const { answerDelayMs, loseAnswers, halveAnswers } = context.persona();
  if (answerDelayMs > 0) await sleep(answerDelayMs, undefined, { signal: context.signal });
  if (loseAnswers) return undefined;
  return halveAnswers ? answer?.subarray(0, answer.length >> 1) : answer;
}

function untilClosed(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

/** Boost ends the stream without a byte when it cannot decode a request. */
async function decodedOrNothing(
  context: ProviderContext,
  decide: () => Uint8Array | Promise<Uint8Array>,
): Promise<Uint8Array | undefined> {
  try {
    return await decide();
  } catch (error) {
    context.log.warn({ provider: context.id, err: error }, 'provider.bad_request');
    return undefined;
  }
}

/** A DealParams message in, a DealResponse out. Between the check and the acceptance nothing else can happen. */
export function answerProposal(
  context: ProviderContext,
  request: Uint8Array,
  onAccepted: (deal: ProviderDeal) => void,
): Uint8Array {
  const candidate = readCandidate(request);
  context.onProposal(context.id, candidate.params.dealUuid, candidate.params.signedProposal);
  const known = context.book.find(candidate.params.dealUuid);
  if (known !== undefined && context.persona().takeDuplicates)
    return encodeDealResponse({ accepted: true, message: '' });
  const fault = faultOf(context, candidate);
  const fields = { provider: context.id, deal: candidate.params.dealUuid };
  if (fault !== undefined) {
    context.log.info({ ...fields, reason: fault }, 'provider.refused');
    return encodeDealResponse({ accepted: false, message: fault.slice(0, MAX_MESSAGE_CHARACTERS) });
  }
  const deal = context.book.accept(request, context.now());
  context.log.info(fields, 'provider.accepted');
  onAccepted(deal);
  return encodeDealResponse({ accepted: true, message: '' });
}

function readCandidate(request: Uint8Array): SignedCandidate {
  const params = decodeDealParams(request);
  return { params, ...decodeSignedProposal(params.signedProposal) };
}

function faultOf(context: ProviderContext, candidate: SignedCandidate): string | undefined {
  const { book, address } = context;
  const persona = context.persona();
  const facts = chainFacts(context, candidate);
  const invalid = validationFault(candidate, { address, persona }, facts);
  if (invalid !== undefined) return `failed validation: ${invalid}`;
  const { dealUuid, signedProposal } = candidate.params;
  const seen = {
    headEpoch: facts.headEpoch,
    sameProposal: book.findByProposal(signedProposal),
    sameUuid: book.find(dealUuid),
  };
  return persona.software === 'curio'
    ? curioAcceptanceFault(candidate, persona, seen)
    : acceptanceFault(candidate, persona, seen);
}

function chainFacts({ ledger }: ProviderContext, candidate: SignedCandidate): ChainFacts {
  const { client, pieceBytes, verified } = candidate.proposal;
  const key = ledger.accountKey(client);
  const balance = ledger.marketBalance(client);
  return {
    headEpoch: ledger.head().height,
    isSigned: key !== undefined && verifySignature(candidate.signature, candidate.proposalBytes, key),
    collateralMin: ledger.collateralBounds(pieceBytes, verified).min,
    clientAvailable: balance === undefined ? undefined : balance.escrow - balance.locked,
    dataCap: ledger.dataCap(client),
  };
}

/** A DealStatusRequest in, a DealStatusResponse out (Boost lp2pimpl/net.go getDealStatus). */
export async function answerStatus(context: ProviderContext, request: Uint8Array): Promise<Uint8Array> {
  const asked = decodeDealStatusRequest(request);
  const deal = context.book.find(asked.dealUuid);
  const { software, lieDealId } = context.persona();
  if (software === 'curio') return encodeDealStatusResponse(curioStatus(asked.dealUuid, deal, lieDealId));
  const error = deal === undefined ? unknownDeal(asked.dealUuid) : statusFault(context, deal, asked);
  const answer =
    deal === undefined || error !== '' ? refusedStatus(asked.dealUuid, error) : await statusOf(context, deal);
  return encodeDealStatusResponse(answer);
}

function unknownDeal(uuid: string): string {
  return `no storage deal found with deal UUID ${uuid}`;
}

function statusFault({ ledger }: ProviderContext, { proposal }: ProviderDeal, asked: DealStatusRequest): string {
  const key = ledger.accountKey(proposal.client);
  if (key === undefined) return `failed to get account key for client addr ${formatAddress(proposal.client)}`;
  return verifySignature(asked.signature, uuidBytes(asked.dealUuid), key) ? '' : 'signature verification failed';
}

function refusedStatus(dealUuid: string, error: string): DealStatusResponse {
  return { error, dealUuid, isOffline: false, dealStatus: null, transferSizeBytes: 0, receivedBytes: 0 };
}

async function statusOf(context: ProviderContext, deal: ProviderDeal): Promise<DealStatusResponse> {
  const { transfer, isOffline, signedProposal } = deal.params;
  const path = piecePath(context, deal.uuid);
  const isReceived = deal.checkpoint !== 'Complete' && isPast(deal, 'Transferred');
  return {
    error: '',
    dealUuid: deal.uuid,
    isOffline,
    transferSizeBytes: transfer.sizeBytes,
    receivedBytes: isReceived ? transfer.sizeBytes : await receivedBytes({ path, sizeBytes: transfer.sizeBytes }),
    dealStatus: {
      error: deal.error,
      status: deal.checkpoint,
      sealingStatus: sealingStatus(deal),
      proposal: deal.proposal,
      signedProposalCid: signedProposalCid(signedProposal),
      publishCid: deal.publishCid === '' ? null : CID.parse(deal.publishCid),
      chainDealId: deal.chainDealId + (context.persona().lieDealId ? 1n : 0n),
    },
  };
}

/** The sector's state as lotus-miner names it; nothing before the piece is in a sector. */
function sealingStatus(deal: ProviderDeal): string {
  if (deal.checkpoint === 'Complete' || !isPast(deal, 'AddedPiece')) return '';
  return deal.isProven ? 'Proving' : 'WaitSeed';
}

/** An AskRequest in, an AskResponse out; null for another miner's ask. */
export function answerAsk(context: ProviderContext, request: Uint8Array, sinceEpoch: number): Uint8Array {
  if (!sameAddress(decodeAskRequest(request), context.address)) return encodeAskResponse(null);
  const { askPrice, askVerifiedPrice, askMinPieceBytes, askMaxPieceBytes } = context.persona();
  const ask: StorageAsk = {
    miner: context.address,
    price: askPrice,
    verifiedPrice: askVerifiedPrice,
    minPieceBytes: askMinPieceBytes,
    maxPieceBytes: askMaxPieceBytes,
    timestampEpoch: sinceEpoch,
    expiryEpoch: sinceEpoch + ASK_EPOCHS,
    sequence: 0n,
  };
  return encodeAskResponse({ ask, signature: context.ledger.signAsWorker(context.id, encodeAsk(ask)) });
}

/** The statement of `/fil/retrieval/transports/1.0.0`: where retrievals are served (Boost retrievalmarket/types). */
export function transportsStatement(multiaddrs: readonly string[], retrieval: readonly string[]): Uint8Array {
  const toCbor = (texts: readonly string[]): Uint8Array =>
    cborArray(texts.map((text) => cborBytes(multiaddr(text).bytes)));
  const named = (Name: string, texts: readonly string[]): Uint8Array =>
    cborMap({ Name: cborText(Name), Addresses: toCbor(texts) });
  return cborMap({ Protocols: cborArray([named('libp2p', multiaddrs), named('http', retrieval)]) });
}
