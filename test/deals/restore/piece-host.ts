import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';

import { certificate, certificateKey } from '../transport/self-signed.ts';

/** How a provider serves a piece, and sometimes does not. */
export interface Ways {
  /** Zeros behind the bytes, as Boost serves them. */
  zeros?: number;
  /** Cuts every connection after so many bytes. */
  cutAfter?: number;
  /** Serves nothing beyond this byte, though it says that there is more. */
  stuckAt?: number;
  /** Answers this instead, for so many requests. */
  status?: { code: number; times: number };
  ignoresRange?: boolean;
  chunked?: boolean;
  headers?: Record<string, string>;
  silent?: boolean;
  secure?: boolean;
}

/** An HTTP server with one piece at `/piece/…`. */
export async function pieceHost(bytes: Uint8Array, ways: Ways = {}) {
  const asked: { path: string; range: string; encoding: string }[] = [];
  const whole = Buffer.concat([bytes, Buffer.alloc(ways.zeros ?? 0)]);
  let refusals = ways.status?.times ?? 0;
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const { range = '', 'accept-encoding': encoding = '' } = request.headers;
    asked.push({ path: request.url ?? '', range, encoding });
    if (ways.silent === true) return;
    if (ways.status !== undefined && refusals > 0) {
      refusals -= 1;
      response.writeHead(ways.status.code, ways.headers).end();
      return;
    }
    const [, first = '0', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(range) ?? [];
    const start = ways.ignoresRange === true ? 0 : Number(first);
    const end = last === '' || ways.ignoresRange === true ? whole.length : Math.min(Number(last) + 1, whole.length);
    if (start >= whole.length) {
      response.writeHead(416).end();
      return;
    }
    const length = ways.chunked === true ? {} : { 'content-length': String(end - start) };
    const span = { 'content-range': `bytes ${start}-${end - 1}/${whole.length}` };
    if (ways.ignoresRange === true) response.writeHead(200, { ...length, ...ways.headers });
    else response.writeHead(206, { ...length, ...span, ...ways.headers });
    const stop = Math.min(end, start + (ways.cutAfter ?? Infinity), Math.max(start, ways.stuckAt ?? Infinity));
    const part = whole.subarray(start, stop);
    if (stop === end) response.end(part);
    else response.write(part, () => setTimeout(() => response.destroy(), 20));
  };
  const secret = { cert: certificate, key: certificateKey };
  const server = ways.secure === true ? createHttps(secret, answer) : createServer(answer);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: new URL(`${ways.secure === true ? 'https' : 'http'}://127.0.0.1:${port}/piece/x`),
    multiaddr: `/ip4/127.0.0.1/tcp/${port}/http`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
