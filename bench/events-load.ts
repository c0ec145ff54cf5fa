import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** Delays of changes from the moment before they were written, in ms. The writer's time stands in `reason`. */
export class Delays {
  readonly values: number[] = [];
  readonly ids = new Set<string>();

  take(data: string): void {
    const { id, reason } = JSON.parse(data) as { id: string; reason?: string };
    this.ids.add(id);
    this.values.push(Date.now() - Number(reason));
  }

  quantile(share: number): number {
    const sorted = this.values.toSorted((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  }
}

/** One connection to GET /events; answers how to end it. */
export async function openReader(url: string, token: string, tell: (data: string) => void): Promise<() => void> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request(url, { headers: { authorization: `Bearer ${token}` }, agent: false }, resolve)
      .on('error', reject)
      .end();
  });
  if (response.statusCode !== 200) throw new Error(`${response.statusCode} ${await text(response)}`);
  let rest = '';
  response.setEncoding('utf8').on('error', () => undefined);
  response.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('data: ')) tell(line.slice(6));
  });
  return () => response.destroy();
}

export interface Receiver extends AsyncDisposable {
  url: string;
  calls: number;
}

/** Who is called by webhooks; `dead` takes the call and never answers. */
export async function startReceiver(tell: (change: string) => void, dead = false): Promise<Receiver> {
  const receiver = { url: '', calls: 0 };
  const take = async (call: IncomingMessage, response: ServerResponse) => {
    receiver.calls += 1;
    const { changes } = JSON.parse(await text(call)) as { changes: object[] };
    for (const change of changes) tell(JSON.stringify(change));
    if (!dead) response.writeHead(204).end();
  };
  const server = createServer((call, response) => void take(call, response).catch(() => response.destroy()));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return Object.assign(receiver, {
    url,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}
