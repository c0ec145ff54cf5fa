import { noise } from '@libp2p/noise';
import { identify } from '@libp2p/identify';
import { yamux } from '@libp2p/yamux';
import { tcp } from '@libp2p/tcp';
import { webSockets } from '@libp2p/websockets';
import type { Libp2p, PrivateKey, Stream } from '@libp2p/interface';
import { createLibp2p } from 'libp2p';
import { tryDecodeFirst } from '../../filecoin/cbor.ts';
import { concat } from '../../filecoin/concat.ts';
import { FormatError } from '../../filecoin/format-error.ts';

/** Boost's deadlines for reading a request and for writing an answer (storagemarket/lp2pimpl/net.go). */
const READ_MS = 10_000;
const WRITE_MS = 10_000;
/** A DealParams is well below 2 KiB; byte strings may be 2 MiB by cbor-gen's limits, so no honest message is larger. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/** Tests and the demo dial from one address, faster than libp2p's guard (5 a second) lets a stranger. */
const DIALS_PER_SECOND = 1_000;

/**
 * Turns one request into the answer's bytes. `undefined` ends the stream without a byte, as Boost does with a message
 * it cannot decode. `peer` is the client's peer id.
 */
export type Answerer = (request: Uint8Array, peer: string) => Promise<Uint8Array | undefined>;

const ANY_PORT = '/ip4/127.0.0.1/tcp/0';

/**
 * A listening libp2p node at 127.0.0.1 with TCP, noise, yamux and identify; calls itself Boost. Takes the address it had
 * before, as a provider that restarts does, and any other only where that is taken.
 */
export async function startHost(privateKey: PrivateKey, before: string | undefined): Promise<Libp2p> {
  const options = { privateKey, agent: 'boost-2.4.0-lading-devnet' };
  if (before === undefined) return listenAt(ANY_PORT, options);
  return listenAt(before, options).catch(() => listenAt(ANY_PORT, options));
}

/** As `startHost`, by WebSocket alone and under Curio's name; what stands before it gives it its address. */
export function startCurioHost(privateKey: PrivateKey): Promise<Libp2p> {
  return listenAt(`${ANY_PORT}/ws`, { privateKey, agent: 'curio-1.27.2-lading-devnet' });
}

function listenAt(address: string, { privateKey, agent }: { privateKey: PrivateKey; agent: string }): Promise<Libp2p> {
  return createLibp2p({
    privateKey,
    addresses: { listen: [address] },
    transports: [tcp(), webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify() },
    nodeInfo: { userAgent: agent },
    connectionManager: {
      inboundConnectionThreshold: DIALS_PER_SECOND,
      maxIncomingPendingConnections: DIALS_PER_SECOND,
    },
  });
}

/** Answers one request per stream: one CBOR item each way, nothing before, between or after. */
export async function serve(host: Libp2p, protocols: readonly string[], answerer: Answerer): Promise<void> {
  await host.handle([...protocols], (stream, connection) =>
    answerStream(stream, async () => {
      const request = await readItem(stream);
      return request === undefined ? undefined : answerer(request, connection.remotePeer.toString());
    }),
  );
}

/** Says the same to everyone who opens a stream; there is no request. */
export async function serveStatement(host: Libp2p, protocol: string, statement: () => Uint8Array): Promise<void> {
  await host.handle(protocol, (stream) => answerStream(stream, () => Promise.resolve(statement())));
}

async function answerStream(stream: Stream, answer: () => Promise<Uint8Array | undefined>): Promise<void> {
  try {
    const bytes = await answer();
    const signal = AbortSignal.timeout(WRITE_MS);
    if (bytes !== undefined && !stream.send(bytes)) await stream.onDrain({ signal });
    await stream.close({ signal });
  } catch (error) {
    // Without this the other side hangs until its own deadline.
    stream.abort(error instanceof Error ? error : new Error(String(error)));
  }
}

/** The first CBOR item of a stream; the client need not close. Undefined when none comes in time or it is malformed. */
async function readItem(stream: Stream): Promise<Uint8Array | undefined> {
  const deadline = setTimeout(() => stream.abort(new Error('no request within 10 s')), READ_MS);
  let received: Uint8Array = new Uint8Array();
  try {
    for await (const chunk of stream) {
      received = concat([received, chunk.subarray()]);
      const first = tryDecodeFirst(received);
      if (first !== undefined) return first.item;
      if (received.length > MAX_REQUEST_BYTES) return undefined;
    }
    return undefined;
  } catch (error) {
    if (error instanceof FormatError || stream.status !== 'open') return undefined;
    throw error;
  } finally {
    clearTimeout(deadline);
  }
}
