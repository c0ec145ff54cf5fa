import { randomUUID } from 'node:crypto';
import { noise } from '@libp2p/noise';
import { identify } from '@libp2p/identify';
import type { Libp2p } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { webSockets } from '@libp2p/websockets';
import { yamux } from '@libp2p/yamux';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { tryDecodeFirst } from '../../../src/filecoin/cbor.ts';
import { idAddress } from '../../../src/filecoin/address.ts';
import { keyAddress, signWithKey, type LotusKey } from '../../../src/filecoin/lotus-key.ts';
import {
  encodeDealParams,
  httpTransferParams,
  MK_PROTOCOLS,
  type DealParams,
  type Transfer,
} from '../../../src/filecoin/mk12-propose.ts';
import { decodeDealResponse, type DealResponse } from '../../../src/filecoin/mk12-propose.ts';
import { encodeProposal, encodeSignedProposal, type DealProposal } from '../../../src/filecoin/proposal.ts';
import type { RunningProvider } from '../../../src/devnet/provider/providers.ts';

export const CLIENT: LotusKey = { type: 'secp256k1', privateKey: new Uint8Array(32).fill(5) };
export const CLIENT_ADDRESS = keyAddress(CLIENT);

export function pieceCidOf(root: Uint8Array): CID {
  return CID.createV1(0xf101, createDigest(0x1012, root));
}

export interface ProposalChange {
  proposal?: Partial<DealProposal>;
  transfer?: Partial<Transfer>;
  params?: Partial<DealParams>;
  key?: LotusKey;
}

/** A proposal that a provider at height 1,000 with Boost's defaults takes, and what a test changes in it. */
export function dealParams(change: ProposalChange = {}): DealParams {
  const proposal: DealProposal = {
    pieceCid: pieceCidOf(new Uint8Array(32).fill(1)),
    pieceBytes: 2_048n,
    verified: false,
    client: CLIENT_ADDRESS,
    provider: idAddress(1_000n),
    label: 'test',
    startEpoch: 12_000,
    endEpoch: 12_000 + 518_400,
    pricePerEpoch: 1_000n,
    providerCollateral: 1_200n,
    clientCollateral: 0n,
    ...change.proposal,
  };
  const transfer: Transfer = {
    type: 'http',
    clientId: '',
    params: httpTransferParams({ url: 'http://127.0.0.1:9/piece', headers: {} }),
    sizeBytes: 1_500,
    ...change.transfer,
  };
  const signature = signWithKey(change.key ?? CLIENT, encodeProposal(proposal));
  return {
    dealUuid: randomUUID(),
    transfer,
    isOffline: false,
    dealDataRoot: CID.parse('bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku'),
    skipIpniAnnounce: false,
    signedProposal: encodeSignedProposal({ proposal, signature }),
    removeUnsealedCopy: false,
    ...change.params,
  };
}

/** A client's libp2p node that sends raw bytes and reads what comes until the end. */
export class DealClient {
  readonly #node: Libp2p;

  static async start(): Promise<DealClient> {
    return new DealClient(
      await createLibp2p({
        transports: [tcp(), webSockets()],
        connectionEncrypters: [noise()],
        streamMuxers: [yamux()],
        services: { identify: identify() },
      }),
    );
  }

  private constructor(node: Libp2p) {
    this.#node = node;
  }

  get node(): Libp2p {
    return this.#node;
  }

  /** Never closes the writing side: a provider has to answer at the end of the first item. */
  async exchange(
    to: RunningProvider,
    protocols: readonly string[],
    request: Uint8Array,
    waitMs = 5_000,
  ): Promise<Uint8Array> {
    const addresses = to.multiaddrs.map((address) => multiaddr(`${address}/p2p/${to.peerId}`));
    const stream = await this.#node.dialProtocol(addresses, [...protocols], { signal: AbortSignal.timeout(5_000) });
    const deadline = setTimeout(() => stream.abort(new Error('no answer in time')), waitMs);
    try {
      if (request.length > 0) stream.send(request);
      const chunks: Uint8Array[] = [];
      for await (const chunk of stream) {
        chunks.push(chunk.subarray());
        // A provider that speaks first may have ended the stream before this loop listens for the end.
        if (tryDecodeFirst(Buffer.concat(chunks)) !== undefined) break;
      }
      return Buffer.concat(chunks);
    } finally {
      clearTimeout(deadline);
      await stream.close().catch(() => undefined);
    }
  }

  async propose(to: RunningProvider, params: DealParams): Promise<DealResponse> {
    return decodeDealResponse(await this.exchange(to, MK_PROTOCOLS, encodeDealParams(params)));
  }

  async close(): Promise<void> {
    await this.#node.stop();
  }
}
