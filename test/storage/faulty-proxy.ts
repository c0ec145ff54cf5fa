import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gather } from '../support/gather.ts';

/**
 * What happens to one request: `drop` never reaches the server, `lose` does and its answer is lost, `cut` breaks the
 * answer's body after so many bytes, `damage` flips a bit of the request's body, a status is answered by the proxy.
 */
export type Fault = 'drop' | 'lose' | 'damage' | { cut: number } | { status: number; code: string };

export interface Asked {
  method: string;
  /** With the query. */
  path: string;
  /** How many requests came before it. */
  number: number;
}

export interface FaultyProxy extends AsyncDisposable {
  endpoint: string;
  asked: Asked[];
  /** Decides about each request; undefined: it passes. */
  plan: (asked: Asked) => Fault | undefined;
}

/** A proxy before an S3 server, on loopback, that does to requests what networks do. */
export async function startFaultyProxy(upstream: string): Promise<FaultyProxy> {
  const server = createServer((incoming, answer) => {
    const asked = { method: incoming.method ?? '', path: incoming.url ?? '', number: proxy.asked.length };
    proxy.asked.push(asked);
    pass({ incoming, answer, upstream, fault: proxy.plan(asked) }).catch(() => incoming.socket.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: FaultyProxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    plan: () => undefined,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}

interface Passing {
  incoming: IncomingMessage;
  answer: ServerResponse;
  upstream: string;
  fault: Fault | undefined;
}

async function pass({ incoming, answer, upstream, fault }: Passing): Promise<void> {
  const body = Buffer.concat(await gather<Buffer>(incoming));
  if (fault === 'drop') return void incoming.socket.destroy();
  if (typeof fault === 'object' && 'status' in fault) {
    answer.writeHead(fault.status, { 'content-type': 'application/xml' });
    return void answer.end(`<Error><Code>${fault.code}</Code><Message>as planned</Message></Error>`);
  }
  if (fault === 'damage' && body.length > 0) body[0] = (body[0] ?? 0) ^ 1;
  // The Host header is signed, so it stays that of the proxy.
  const forwarded = request(upstream + incoming.url, { method: incoming.method ?? 'GET', headers: incoming.headers });
  forwarded.end(body);
  const [response] = (await once(forwarded, 'response')) as [IncomingMessage];
  const held = Buffer.concat(await gather<Buffer>(response));
  if (fault === 'lose') return void incoming.socket.destroy();
  answer.writeHead(response.statusCode ?? 500, response.headers);
  if (typeof fault !== 'object') return void answer.end(held);
  answer.write(held.subarray(0, fault.cut), () => incoming.socket.destroy());
}
