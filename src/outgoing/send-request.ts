import type { ClientRequest, IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { asOriginFault } from './origin-fault.ts';
import type { Roads } from './roads.ts';

interface Message {
  url: URL;
  method: string;
  headers: Record<string, string>;
  body: string | Uint8Array | undefined;
  reuse: boolean;
  mayGo: (() => Promise<void>) | undefined;
}

/**
 * Sends one request, and answers once the head of its answer is there; who aborts the signal ends both. Throws what
 * `mayGo` does, the signal's reason, and else a fault of the origin.
 */
export async function sendRequest(roads: Roads, message: Message, signal: AbortSignal): Promise<IncomingMessage> {
  try {
    return await sendOnce(roads, message, signal);
  } catch (error) {
    if (!(error instanceof StaleConnection)) throw error;
    // The other end closed a kept connection just as we took it: the request was never seen.
    return await sendOnce(roads, { ...message, reuse: false }, signal);
  }
}

class StaleConnection extends Error {}

function sendOnce(roads: Roads, message: Message, signal: AbortSignal): Promise<IncomingMessage> {
  const { url, method, headers, body, reuse, mayGo } = message;
  signal.throwIfAborted();
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const sending = roads.start(url, { method, headers: { ...headers, ...length }, reuse });
  return new Promise<IncomingMessage>((resolve, reject) => {
    const onAbort = () => {
      reject(signal.reason);
      sending.destroy();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    sending.once('close', () => signal.removeEventListener('abort', onAbort));
    const fail = (error: unknown) =>
      reject(
        sending.reusedSocket && method !== 'POST'
          ? new StaleConnection('a kept connection was closed', { cause: error })
          : asOriginFault('ORIGIN_UNREACHABLE', url.host, error),
      );
    // Stays: an error after the answer has begun is told to whoever reads it.
    sending.on('error', fail);
    sending.once('response', resolve);
    // An answer that changes the protocol: without these two nobody would be told of the end.
    sending.once('upgrade', (response, socket) => {
      socket.destroy();
      resolve(response);
    });
    sending.once('close', () => fail(new Error('the connection was closed without an answer')));
    if (mayGo === undefined) sending.end(body);
    else
      void goIfMay(sending, mayGo, body).catch((error: unknown) => {
        reject(error);
        sending.destroy();
      });
  });
}

async function goIfMay(sending: ClientRequest, mayGo: () => Promise<void>, body: Message['body']): Promise<void> {
  await whenConnected(sending);
  await mayGo();
  sending.end(body);
}

/** With TLS: once the certificate has been verified. One that is never connected fails by itself. */
function whenConnected(sending: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    sending.once('socket', (socket) =>
      socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => resolve()),
    );
  });
}
