import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request as the server saw it. */
export interface SeenRequest {
  method: string;
  range: string | undefined;
  authorization: string | undefined;
  acceptEncoding: string | undefined;
}

export interface PieceServer {
  url: string;
  seen: SeenRequest[];
  /** Replaces the usual answer: return true when the request was dealt with. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Serves `bytes` with HEAD, single ranges whose end may lie beyond the last byte, and faults on demand. */
export async function servePiece(bytes: Uint8Array): Promise<PieceServer> {
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const { range, authorization } = request.headers;
    seen.push({
      method: request.method ?? '',
      range,
      authorization,
      acceptEncoding: request.headers['accept-encoding'],
    });
    if (!piece.intercept(request, response)) answer(bytes, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const piece: PieceServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/piece/x`,
    seen,
    intercept: () => false,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return piece;
}

function answer(bytes: Uint8Array, request: IncomingMessage, response: ServerResponse): void {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  const start = Number(from ?? 0);
  const end = Math.min(bytes.length - 1, Number(to ?? bytes.length - 1));
  const body = bytes.subarray(start, end + 1);
  response.writeHead(from === undefined ? 200 : 206, {
    'content-length': body.length,
    ...(from === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${bytes.length}` }),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
