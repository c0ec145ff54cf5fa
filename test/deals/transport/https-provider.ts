import { createServer as createHttp, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { certificate, certificateKey } from './self-signed.ts';

export interface Received {
  method: string | undefined;
  path: string | undefined;
  contentType: string | undefined;
  body: string;
}

/** What answers a request that is wholly there. */
export type Respond = (response: ServerResponse, request: IncomingMessage) => void | Promise<void>;

/** A server where Curio's endpoint would be, on a port of its own; keeps what it was sent, bodies in hex. */
export async function serveHttps(respond: Respond, secure = true) {
  const received: Received[] = [];
  const listener: RequestListener = (request, response) => {
    void buffer(request).then(async (body) => {
      const { method, url: path, headers } = request;
      received.push({ method, path, contentType: headers['content-type'], body: body.toString('hex') });
      await respond(response, request);
    });
  };
  const server = secure ? createHttps({ cert: certificate, key: certificateKey }, listener) : createHttp(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    received,
    port,
    multiaddr: secure ? `/dns4/localhost/tcp/${port}/wss` : `/ip4/127.0.0.1/tcp/${port}/ws`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export const answer =
  (bytes: Uint8Array, status = 200): Respond =>
  (response) => {
    response.writeHead(status).end(bytes);
  };
