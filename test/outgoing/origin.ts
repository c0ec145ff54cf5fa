import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { certificate, certificateKey } from '../deals/transport/self-signed.ts';

interface Asked {
  path: string;
  headers: IncomingHttpHeaders;
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Somebody's web server, which answers as each test tells it to. */
export async function origin(answer: Answer, { secure = false, host = '127.0.0.1' } = {}) {
  const asked: Asked[] = [];
  const sockets = new Set<unknown>();
  const take: Answer = (request, response) => {
    asked.push({ path: request.url ?? '', headers: request.headers });
    sockets.add(request.socket);
    answer(request, response);
  };
  const server = secure ? createHttps({ cert: certificate, key: certificateKey }, take) : createServer(take);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `${secure ? 'https' : 'http'}://${host}:${port}`,
    asked,
    connections: () => sockets.size,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Served {
  bytes: Uint8Array;
  etag?: string;
  headers?: Record<string, string>;
  /** Each answer is cut off after so many bytes. */
  cutAfter?: number;
  ignoresRange?: boolean;
  ignoresIfRange?: boolean;
}

/** A file as RFC 9110 says that it is served, ranges and If-Range included; with the faults that are asked for. */
export function serveFile(served: () => Served): Answer {
  return ({ headers }, response) => {
    const { bytes, etag, cutAfter = Infinity, ...rest } = served();
    const [, first] = /^bytes=(\d+)-$/.exec(headers.range ?? '') ?? [];
    const matches = headers['if-range'] === undefined || headers['if-range'] === etag || rest.ignoresIfRange === true;
    const start = first === undefined || !matches || rest.ignoresRange === true ? undefined : Number(first);
    const told = { ...(etag !== undefined && { etag }), ...rest.headers };
    if (start !== undefined && start >= bytes.length) {
      response.writeHead(416, { 'content-range': `bytes */${bytes.length}`, ...told }).end();
      return;
    }
    const part = bytes.subarray(start ?? 0);
    const span = start === undefined ? {} : { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
    response.writeHead(start === undefined ? 200 : 206, { 'content-length': String(part.length), ...span, ...told });
    if (part.length <= cutAfter) response.end(part);
    else response.write(part.subarray(0, cutAfter), () => setTimeout(() => response.destroy(), 20));
  };
}
