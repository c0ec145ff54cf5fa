import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { answerPiece, type PieceFinder } from './piece-door.ts';

/** Turns a request of one of the routes into the answer's bytes; undefined where it cannot be decoded. */
export type FrontAnswerer = (route: FrontRoute, request: Uint8Array) => Promise<Uint8Array | undefined>;
export type FrontRoute = 'store' | 'status' | 'ask';

export interface CurioFront {
  port: number;
  close(): Promise<void>;
}

/** Curio's routes for mk12 over HTTP (market/mk12/http/http.go): two of them are GET with a body. */
const ROUTES: Readonly<Record<string, { route: FrontRoute; maxBytes: number }>> = {
  'POST /market/mk12/store': { route: 'store', maxBytes: 4 * 2 ** 20 },
  'GET /market/mk12/status': { route: 'status', maxBytes: 2 ** 20 },
  'GET /market/mk12/ask': { route: 'ask', maxBytes: 2 ** 20 },
};

/** An ask that is not there is an error here: CBOR of `{Ask: null}`. */
const NO_ASK = 'a16341736bf6';

interface FrontOptions {
  /** Where libp2p listens for WebSockets. */
  innerPort: number;
  /** The port of an earlier run; any free one where it is taken or none is known. */
  port: number | undefined;
  answer: FrontAnswerer;
  findPiece: PieceFinder;
}

/** One port for both of Curio's doors: WebSockets are handed on to libp2p, and the rest is mk12 over HTTP. */
export async function startCurioFront({ innerPort, port, answer, findPiece }: FrontOptions): Promise<CurioFront> {
  const server = createServer((request, response) => {
    const isPiece = request.url?.startsWith('/piece/') === true;
    const answering = isPiece
      ? answerPiece(request, response, { find: findPiece, software: 'curio' })
      : answerRequest(request, response, answer);
    answering.catch(() => response.destroy());
  });
  const sockets = new Set<Duplex>();
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const inner = connect(innerPort, '127.0.0.1');
    for (const [one, other] of [
      [socket, inner],
      [inner, socket],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    inner.write(requestHead(request));
    inner.write(head);
    inner.pipe(socket);
    socket.pipe(inner);
  });
  const listen = (wanted: number): Promise<number> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(wanted, '127.0.0.1', () => {
        const address = server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : wanted);
      });
    });
  const open = await (port === undefined ? listen(0) : listen(port).catch(() => listen(0)));
  return {
    port: open,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      await new Promise<void>((done) => server.close(() => done()));
    },
  };
}

function requestHead({ method, url, rawHeaders }: IncomingMessage): string {
  const lines = [`${method} ${url} HTTP/1.1`];
  for (let at = 0; at < rawHeaders.length; at += 2) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

async function answerRequest(request: IncomingMessage, response: ServerResponse, answer: FrontAnswerer): Promise<void> {
  const found = ROUTES[`${request.method} ${request.url}`];
  if (found === undefined) {
    response.writeHead(404).end();
    return;
  }
  const body =
    request.headers['content-type'] === 'application/cbor' ? await readBody(request, found.maxBytes) : undefined;
  const bytes = body === undefined ? undefined : await answer(found.route, body);
  if (bytes === undefined) response.writeHead(400).end();
  else if (Buffer.from(bytes).toString('hex') === NO_ASK) response.writeHead(500).end();
  else response.writeHead(200, { 'content-type': 'application/cbor' }).end(bytes);
}

/** Undefined for a body that is too large. */
async function readBody(request: IncomingMessage, maxBytes: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}
