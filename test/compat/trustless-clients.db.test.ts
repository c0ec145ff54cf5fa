import { createHash } from 'node:crypto';
import { CarBlockIterator } from '@ipld/car';
import type { CID } from 'multiformats/cid';
import { beforeAll, describe, expect, test } from 'vitest';
import { sampleTree, type SampleTree } from '../api/gateway/sample-tree.ts';
import { apiFixture, bearer, tokens } from '../support/api-fixture.ts';
import { car } from '../support/car-builder.ts';
import { isInstalled, loadClients, type Block } from './trustless-clients.ts';

type Clients = Awaited<ReturnType<typeof loadClients>>;

describe.skipIf(!isInstalled)('trustless clients, unmodified', () => {
  let clients: Clients;
  let tree: SampleTree;
  beforeAll(async () => {
    clients = await loadClients();
    tree = await sampleTree();
  });

  async function served() {
    const fixture = await apiFixture();
    const { url, port } = await fixture.listen();
    const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
    const body = new Uint8Array(car([tree.root], tree.blocks));
    expect((await fetch(`${url}/upload`, { method: 'POST', body, headers })).status).toBe(200);
    return { url, port, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
  }

  /** A light client: it takes each block as it comes, and has no memory of those before. */
  async function streamed(url: string) {
    const accept = 'application/vnd.ipld.car; version=1; order=dfs; dups=y';
    const answer = await fetch(url, { headers: { ...bearer(tokens.read), accept } });
    expect(answer.status).toBe(200);
    const { body } = answer;
    if (body === null) throw new Error('no body came');
    const blocks = (await CarBlockIterator.fromIterable(body))[Symbol.asyncIterator]();
    const rest: string[] = [];
    const get = async (cid: CID): Promise<Block> => {
      const next = await blocks.next();
      if (next.done === true) throw new Error(`the CAR ends where ${cid} is due`);
      if (next.value.cid.toString() !== cid.toString()) throw new Error(`${next.value.cid} came where ${cid} is due`);
      return next.value;
    };
    const drain = async () => {
      for (let next = await blocks.next(); next.done !== true; next = await blocks.next()) {
        rest.push(next.value.cid.toString());
      }
      return rest;
    };
    return { get, drain };
  }

  test('a CAR is verified block by block as it streams, and has no block that its DAG has not', async () => {
    await using at = await served();
    const stream = await streamed(`${at.url}/ipfs/${tree.root}?format=car`);
    const seen = new Set<string>();
    let count = 0;
    for await (const { cid, bytes } of new clients.dagula.Dagula(stream).get(tree.root.toString())) {
      expect(createHash('sha256').update(bytes).digest().equals(cid.multihash.digest)).toBe(true);
      seen.add(cid.toString());
      count += 1;
    }
    expect(await stream.drain()).toEqual([]);
    expect(seen).toEqual(new Set(tree.blocks.map(({ cid }) => cid.toString())));
    // The zeros come as often as the file has them.
    expect(count).toBeGreaterThan(tree.blocks.length);
  });

  test.for(['/large.bin', '/zeros.bin', '/sub', '/sub/a.txt'])(
    'the path %s is verified from the root on',
    async (path) => {
      await using at = await served();
      for (const dagScope of ['all', 'entity']) {
        const stream = await streamed(`${at.url}/ipfs/${tree.root}${path}?format=car&dag-scope=${dagScope}`);
        let count = 0;
        for await (const block of new clients.dagula.Dagula(stream).getPath(`${tree.root}${path}`, { dagScope })) {
          count += block.bytes.length > 0 ? 1 : 0;
        }
        expect(await stream.drain()).toEqual([]);
        expect(count).toBeGreaterThan(1);
      }
    },
  );

  test('Helia fetches the DAG block by block, following links', async () => {
    await using at = await served();
    const address = clients.multiaddr.multiaddr(`/ip4/127.0.0.1/tcp/${at.port}/http`);
    const provider = { id: 'us', multiaddrs: [address], protocols: ['transport-ipfs-gateway-http'], routing: 'test' };
    const broker = clients.helia.trustlessGatewayBlockBroker({
      allowInsecure: true,
      allowLocal: true,
      transformRequestInit: (init) => ({ ...init, headers: { ...(init.headers as object), ...bearer(tokens.read) } }),
    })({
      logger: clients.logger.defaultLogger(),
      routing: {
        async *findProviders() {
          yield provider;
        },
      },
    });
    const get = async (cid: CID) => {
      const validateFn = async (block: Uint8Array) => {
        if (!createHash('sha256').update(block).digest().equals(cid.multihash.digest)) throw new Error(`no ${cid}`);
      };
      return { cid, bytes: await broker.retrieve(cid, { validateFn }) };
    };
    const path = `${tree.root}/large.bin`;
    let bytes = 0;
    for await (const block of new clients.dagula.Dagula({ get }).getPath(path)) bytes += block.bytes.length;
    expect(bytes).toBeGreaterThan(700_000);
  });
});
