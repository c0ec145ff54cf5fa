import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Busboy } from '@fastify/busboy';
import type { CID } from 'multiformats/cid';
import { verifyBlock } from '../../filecoin/block-hash.ts';
import { openCar } from '../../filecoin/car.ts';
import { parseCid } from '../../filecoin/cid.ts';
import { ClusterPins, type ClusterFaults, type ClusterOptions } from './cluster-pins.ts';

/** An IPFS Cluster's REST API (1.1.6) without a cluster: one pinset in memory, and blocks by their CIDs alone. */
export interface StandInCluster extends AsyncDisposable {
  url: string;
  pins: ClusterPins;
  faults: ClusterFaults;
  /** What it was asked, `METHOD /path`, and how many CIDs a list had. */
  asked: { method: string; path: string; cids: number; authorization: string | undefined }[];
}

const VERSION = '1.1.6';

/** What is answered: a status, and a body in JSON or a list of lines. */
type Answer = { status: number; body: object } | { lines: object[] };

class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export async function startStandInCluster(options: Partial<ClusterOptions> = {}): Promise<StandInCluster> {
  const pins = new ClusterPins({ peers: 2, pinMs: 0, now: Date.now, ...options });
  const asked: StandInCluster['asked'] = [];
  const server = createServer((request, response) => {
    const { pathname, searchParams } = urlOf(request);
    const cids = searchParams.get('cids')?.split(',').length ?? 0;
    const { authorization } = request.headers;
    asked.push({ method: request.method ?? '', path: pathname, cids, authorization });
    answer(pins, request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    pins,
    faults: pins.faults,
    asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function urlOf(request: IncomingMessage): URL {
  return new URL(request.url ?? '/', 'http://stand-in');
}

async function answer(pins: ClusterPins, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { faults } = pins;
  if (faults.down) {
    response.destroy();
    return;
  }
  if (faults.slowMs > 0) await delay(faults.slowMs);
  if (faults.proxyStatus !== undefined) {
    response.writeHead(faults.proxyStatus, { 'content-type': 'text/html' }).end('<html>not the cluster</html>');
    return;
  }
  try {
    write(response, faults, await route(pins, request));
  } catch (error) {
    const status = error instanceof Refusal ? error.status : 500;
    const message = error instanceof Error ? error.message : String(error);
    // The rest of a CAR that is refused is not read.
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
    response.end(`${JSON.stringify({ code: status, message })}\n`);
  }
}

async function route(pins: ClusterPins, request: IncomingMessage): Promise<Answer> {
  const { pathname, searchParams } = urlOf(request);
  const [, first, second, third] = pathname.split('/');
  const name = searchParams.get('name') ?? '';
  switch (`${request.method} /${first}${second === undefined ? '' : '/…'}${third === undefined ? '' : `/${third}`}`) {
    case 'GET /version':
      return { status: 200, body: { version: VERSION } };
    case 'GET /pins':
      return { lines: listed(pins, searchParams.get('cids')) };
    case 'GET /pins/…':
      return { status: 200, body: pins.status(decode(second)) };
    case 'POST /pins/…':
      refuseTooFew(pins);
      return { status: 200, body: pins.pin(decode(second), name) };
    case 'POST /pins/…/recover':
      return { status: 200, body: pins.recover(decode(second)) };
    case 'DELETE /pins/…': {
      const gone = pins.unpin(decode(second));
      if (gone === undefined) throw new Refusal(404, 'pin is not part of the pinset');
      return { status: 200, body: gone };
    }
    case 'POST /add':
      refuseTooFew(pins);
      return { status: 200, body: [await addCar(pins, request, name)] };
    default:
      throw new Refusal(404, 'not found');
  }
}

function decode(text = ''): CID {
  try {
    return parseCid(decodeURIComponent(text));
  } catch {
    throw new Refusal(400, 'error decoding Cid: invalid cid: selected encoding not supported');
  }
}

function refuseTooFew({ faults }: ClusterPins): void {
  if (faults.tooFewPeers) {
    throw new Refusal(
      500,
      'not enough peers to allocate CID. Needed at least: 2. Wanted at most: 2. Valid candidates: 1.',
    );
  }
}

/** In no fixed order: here backwards. */
function listed(pins: ClusterPins, cids: string | null): object[] {
  if (pins.faults.empty) return [];
  const some = cids === null ? pins.all() : cids.split(',').map(decode);
  if (some.some((cid) => cid.toString() === pins.faults.refuses)) throw new Refusal(400, 'error decoding Cid: refused');
  return some.reverse().map((cid) => pins.status(cid));
}

async function addCar(pins: ClusterPins, request: IncomingMessage, name: string): Promise<object> {
  const form = new Busboy({ headers: { ...request.headers, 'content-type': request.headers['content-type'] ?? '' } });
  const given = once(form, 'file');
  request.pipe(form);
  const [, file] = await given;
  const { roots, sections } = await openCar(file as AsyncIterable<Uint8Array>);
  const [root] = roots;
  if (root === undefined || roots.length > 1) throw new Refusal(500, 'only CAR files with a single root are supported');
  let bytes = 0;
  for await (const section of sections) {
    verifyBlock(section.cid, section.bytes);
    pins.addBlock(section.cid);
    bytes += section.bytes.length;
  }
  pins.pin(root, name);
  return { name: `${root.toString()}.car`, cid: root.toString(), bytes, size: bytes };
}

function write(response: ServerResponse, faults: ClusterFaults, answered: Answer): void {
  if ('lines' in answered) {
    writeLines(response, faults, answered.lines);
    return;
  }
  response.writeHead(answered.status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(answered.body)}\n`);
}

/** Lines of JSON under the name of one JSON; an empty list is 204 without a body. */
function writeLines(response: ServerResponse, faults: ClusterFaults, lines: readonly object[]): void {
  if (lines.length === 0) {
    response.writeHead(204).end();
    return;
  }
  const { cutAfterLines: cut, endAfterLines: end } = faults;
  response.writeHead(200, { 'content-type': 'application/json', trailer: 'X-Stream-Error' });
  const texts = lines.map((line) => `${JSON.stringify(line)}\n`);
  if (cut !== undefined) {
    response.write(texts.slice(0, cut).join('') + (texts[cut] ?? '').slice(0, 40), () => response.destroy());
    return;
  }
  response.write(texts.slice(0, end ?? texts.length).join(''));
  response.addTrailers({ 'x-stream-error': end === undefined ? '' : 'context deadline exceeded' });
  response.end();
}
