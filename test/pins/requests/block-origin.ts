import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { decode as decodePb } from '@ipld/dag-pb';
import { CID } from 'multiformats/cid';
import { header, section, type Block } from '../../support/car-builder.ts';

/** What an origin does with a request, after so many others; answers false to have it served as it should be. */
export type Fault = (asked: {
  n: number;
  cid: CID;
  format: string;
  response: ServerResponse;
}) => boolean | Promise<boolean>;

export interface Origin extends AsyncDisposable {
  url: string;
  /** `car bafy…` and `raw bafy…`, in the order of asking. */
  asked: string[];
}

const tail = (cid: CID) => Buffer.from(cid.multihash.digest).toString('hex');

/** Blocks in depth-first order, each once, as a gateway sends them; by a decoder that the service does not use for it. */
function* below(root: CID, blocks: ReadonlyMap<string, Block>): Generator<Block> {
  const due = [root];
  const seen = new Set<string>();
  for (let cid = due.pop(); cid !== undefined; cid = due.pop()) {
    const block = blocks.get(tail(cid));
    if (block === undefined || seen.has(tail(cid))) continue;
    seen.add(tail(cid));
    yield block;
    if (block.cid.code === 0x70) for (const { Hash } of decodePb(block.bytes).Links.toReversed()) due.push(Hash);
  }
}

async function sendCar(response: ServerResponse, blocks: Iterable<Block>): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/vnd.ipld.car' });
  let isFirst = true;
  for (const one of blocks) {
    if (isFirst) response.write(header({ roots: [one.cid], version: 1 }));
    isFirst = false;
    if (!response.write(section(one))) await new Promise((resolve) => response.once('drain', resolve));
  }
  response.end();
}

/** A trustless gateway over these blocks, on loopback. */
export async function startOrigin(all: readonly Block[], fault: Fault = () => false): Promise<Origin> {
  const blocks = new Map(all.map((block) => [tail(block.cid), block]));
  const asked: string[] = [];
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '', 'http://origin');
    const cid = CID.parse(url.pathname.split('/').at(-1) ?? '');
    const format = url.searchParams.get('format') ?? '';
    asked.push(`${format} ${cid.toString()}`);
    if (await fault({ n: asked.length, cid, format, response })) return;
    const block = blocks.get(tail(cid));
    if (block === undefined) response.writeHead(404).end('not here');
    else if (format === 'raw') response.end(block.bytes);
    else await sendCar(response, below(cid, blocks));
  };
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
