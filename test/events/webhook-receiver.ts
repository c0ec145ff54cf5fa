import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Change } from '../../src/events/change.ts';

interface Call {
  headers: IncomingHttpHeaders;
  body: string;
  changes: Change[];
}

/** Somebody's web server that is called. It answers as it is told to; `hang` answers never. */
export async function webhookReceiver() {
  const calls: Call[] = [];
  const state: { answer: number | 'hang' | ((call: Call) => number) } = { answer: 204 };
  const take = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await text(request);
    const { changes } = JSON.parse(body) as { changes: Change[] };
    const call = { headers: request.headers, body, changes };
    calls.push(call);
    const { answer } = state;
    if (answer === 'hang') return;
    response.writeHead(typeof answer === 'function' ? answer(call) : answer).end('thanks');
  };
  // A caller that goes away in the middle is no fault of the receiver.
  const server = createServer((request, response) => void take(request, response).catch(() => response.destroy()));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/changes`,
    port,
    calls,
    state,
    /** Ids of all changes, in the order in which they came. */
    ids: () => calls.flatMap(({ changes }) => changes.map(({ id }) => id)),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** As a receiver checks it, by the words of the documentation. */
export function isSigned({ headers, body }: Call, secret: string): boolean {
  const [, seconds, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['lading-signature'])) ?? [];
  return createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex') === mac;
}
