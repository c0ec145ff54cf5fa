import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export interface RpcRequest {
  jsonrpc: string;
  id: number;
  method: string;
  params: unknown[];
  authorization: string | undefined;
}

export type Respond = (request: RpcRequest, response: ServerResponse, raw: IncomingMessage) => void | Promise<void>;

export type RespondToList = (requests: RpcRequest[], response: ServerResponse) => void;

const noBatches = { jsonrpc: '2.0', id: null, error: { code: -32_700, message: 'unmarshaling request' } };

/** As a node without batches does. */
function refuseList(_requests: RpcRequest[], response: ServerResponse): void {
  sendJson(response, noBatches, 500);
}

/** Any HTTP server that a JSON-RPC client may meet, on a port of its own. */
export async function serveRpc(respond: Respond, respondToList: RespondToList = refuseList) {
  const requests: RpcRequest[] = [];
  const server = createServer((incoming, response) => {
    void text(incoming).then(async (body) => {
      const parsed = JSON.parse(body) as Omit<RpcRequest, 'authorization'>;
      if (Array.isArray(parsed)) return respondToList(parsed as RpcRequest[], response);
      const request = { ...parsed, authorization: incoming.headers.authorization };
      requests.push(request);
      await respond(request, response, incoming);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/rpc/v1`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Answers as Lotus does. */
export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

export function sendResult(response: ServerResponse, result: unknown): void {
  sendJson(response, { jsonrpc: '2.0', id: 1, result });
}

export function sendError(response: ServerResponse, code: number, message: string): void {
  sendJson(response, { jsonrpc: '2.0', id: 1, error: { code, message } });
}
