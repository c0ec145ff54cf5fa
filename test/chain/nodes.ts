import { onTestFinished } from 'vitest';
import { createRpc, type RpcOptions } from '../../src/chain/rpc.ts';
import { serveRpc, type Respond, type RespondToList } from '../support/rpc-server.ts';

/** Servers of these answers, and a pool over them with a clock that stands still until it is moved. */
export async function poolOf(
  nodes: readonly (Respond | { respond: Respond; respondToList: RespondToList })[],
  options: Partial<RpcOptions> = {},
) {
  const servers: Awaited<ReturnType<typeof serveRpc>>[] = [];
  for (const node of nodes) {
    servers.push(await (typeof node === 'function' ? serveRpc(node) : serveRpc(node.respond, node.respondToList)));
  }
  const time = { ms: 1_000_000 };
  const hosts = servers.map(({ url }) => new URL(url).host);
  const rpc = createRpc({
    endpoints: servers.map(({ url }) => ({ url })),
    clock: { now: () => new Date(time.ms) },
    random: () => 0,
    ...options,
  });
  onTestFinished(async () => {
    rpc.close();
    for (const server of servers) await server[Symbol.asyncDispose]();
  });
  return { rpc, time, hosts, asked: () => servers.map(({ requests }) => requests.length) };
}
