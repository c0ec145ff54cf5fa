import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { answerDoor, refused, stateOf, type DoorContext, type DoorReply } from './control-door.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { answerRpc } from './rpc-dispatch.ts';
import { distort, noRpcFaults, type RpcFaults } from './rpc-faults.ts';
import type { Permission } from './rpc-method.ts';

export interface RpcServerOptions {
  ledger: Ledger;
  seed: string;
  /** 0 takes any free port. */
  port: number;
  /** Its number among the nodes of this chain. */
  node?: number;
  /** Bearer tokens and what each may do; without any, everybody may do all. */
  tokens?: Readonly<Record<string, Permission>>;
  setProviderFaults?: (faults: unknown) => void;
}

export interface RpcServer {
  port: number;
  close(): Promise<void>;
}

/** A publish message of 8,192 deals stays below this; more is no honest request. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
const RPC_PATH = '/rpc/v1';
const DOOR_PREFIX = '/devnet/';
/** The chain's RPC and its control door are for this machine alone. */
const HOST = '127.0.0.1';

/** As long as a node behind a gateway keeps them: a client that comes back on a busy machine finds none that just closed. */
const KEEP_ALIVE_MS = 72_000;

class BodyTooLarge extends Error {}

/** Serves `/rpc/v1` and `/devnet/…` on the loopback address. */
export async function startRpcServer(options: RpcServerOptions): Promise<RpcServer> {
  const house = new RpcHouse(options);
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    house.answer(request, response).catch((error: unknown) => {
      const reply = error instanceof BodyTooLarge ? tooLarge() : failure(error);
      if (!response.headersSent) sendJson(response, reply);
      else response.destroy();
    });
  });
  const port = await listen(server, options.port);
  const close = async (): Promise<void> => {
    house.stop();
    server.closeAllConnections();
    await new Promise<void>((done) => server.close(() => done()));
  };
  return { port, close };
}

class RpcHouse {
  readonly #options: RpcServerOptions;
  readonly #door: DoorContext;
  readonly #stopped = new AbortController();
  #faults: RpcFaults = noRpcFaults;
  /** Where this node left the chain. */
  #forkedAt: number | undefined;
  #turn = 0;

  constructor(options: RpcServerOptions) {
    this.#options = options;
    const setRpcFaults = (faults: RpcFaults): void => {
      this.#faults = faults;
      const { height } = options.ledger.head();
      this.#forkedAt = faults.fork === 0 ? undefined : Math.max(0, height - faults.fork);
    };
    this.#door = { ledger: options.ledger, setRpcFaults, setProviderFaults: options.setProviderFaults };
  }

  stop(): void {
    this.#stopped.abort();
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', `http://${HOST}`).pathname;
    if (path === RPC_PATH) {
      await this.#answerRpc(request, response);
      return;
    }
    sendJson(response, await this.#answerDoor(request, path));
  }

  /** An answer is made when the call arrives: a delayed one tells of a chain that has moved on since. */
  async #answerRpc(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const held = this.#permissionOf(request);
    if (held === undefined) {
      response.writeHead(401).end();
      return;
    }
    const { ledger, seed, node = 0 } = this.#options;
    const faults = this.#faults;
    this.#turn += 1;
    const turn = this.#turn;
    const body = await readBody(request);
    const view = ledger.view({ behind: faults.behind, ahead: faults.ahead, forkedAt: this.#forkedAt, node });
    const reply = answerRpc(body, { ledger, view, faults }, held);
    if (faults.delayMs > 0)
      await sleep(faults.delayMs, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
    const { status, body: text, headers } = distort(reply, faults, { seed, turn });
    const type = text.startsWith('<') ? 'text/html; charset=utf-8' : 'application/json';
    const length = Buffer.byteLength(text);
    response.writeHead(status, { 'content-type': type, 'content-length': length, ...headers }).end(text);
  }

  async #answerDoor(request: IncomingMessage, path: string): Promise<DoorReply> {
    if (request.method === 'GET' && path === '/devnet') {
      return { status: 200, json: { ...stateOf(this.#options.ledger), faults: { rpc: this.#faults } } };
    }
    if (!path.startsWith(DOOR_PREFIX)) return refused(404, 'NOT_FOUND', `there is ${RPC_PATH} here, and /devnet/…`);
    if (request.method !== 'POST') return refused(405, 'METHOD_NOT_ALLOWED', 'the control door takes POST');
    const text = await readBody(request);
    let body: unknown;
    try {
      body = text.trim() === '' ? {} : JSON.parse(text);
    } catch {
      return refused(400, 'BAD_JSON', 'the body is not JSON');
    }
    return answerDoor(path.slice(DOOR_PREFIX.length), body, this.#door);
  }

  /** Undefined for a token nobody gave. Without a token a caller may read, as go-jsonrpc's auth handler has it. */
  #permissionOf(request: IncomingMessage): Permission | undefined {
    const { tokens } = this.#options;
    if (tokens === undefined) return 'admin';
    const header = request.headers.authorization;
    if (header === undefined || header === '') return 'read';
    const token = header.startsWith('Bearer ') ? header.slice('Bearer '.length) : '';
    return Object.hasOwn(tokens, token) ? tokens[token] : undefined;
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new BodyTooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function sendJson(response: ServerResponse, { status, json }: DoorReply): void {
  const text = `${JSON.stringify(json)}\n`;
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    .end(text);
}

function tooLarge(): DoorReply {
  return refused(413, 'TOO_LARGE', `a body has at most ${MAX_BODY_BYTES} bytes`);
}

function failure(error: unknown): DoorReply {
  return refused(500, 'FAULT', error instanceof Error ? (error.stack ?? error.message) : String(error));
}

async function listen(server: Server, port: number): Promise<number> {
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(port, HOST, () => {
      server.off('error', fail);
      done();
    });
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}
