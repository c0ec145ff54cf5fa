import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { checkSources } from '../../src/doctor/check-sources.ts';

const never = new AbortController().signal;

async function serve(answer: RequestListener) {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function look(sources: { gatewayUrls?: string[]; kuboUrl?: string; s3Places?: string[] }) {
  const { gatewayUrls = [], kuboUrl, s3Places = [] } = sources;
  const places = s3Places.map((endpoint) => ({ bucket: 'cars', prefix: 'in', endpoint, region: 'us-east-1' }));
  const pulls = { allowPrivate: false, networks: [], s3Places: places };
  return checkSources({ ipfsSources: { gatewayUrls, kuboUrl }, pulls }, never);
}

test('without any source that is said, and is no fault', async () => {
  expect(await look({})).toMatchObject([{ ok: true, text: /IPFS_GATEWAY_URL/ }]);
});

test('a gateway that gives the empty block, and those that refuse, answer else, or are gone', async () => {
  await using good = await serve((request, response) => {
    const isProbe = request.url === '/ipfs/bafkqaaa?format=raw' && request.headers.accept?.includes('ipld.raw');
    response.writeHead(isProbe ? 200 : 404).end();
  });
  await using page = await serve((_request, response) => response.end('<html>welcome</html>'));
  await using moved = await serve((_request, response) => response.writeHead(302, { location: good.url }).end());
  const found = await look({ gatewayUrls: [good.url, page.url, moved.url, 'http://127.0.0.1:1'] });
  expect(found.map(({ ok }) => ok)).toEqual([true, false, false, false]);
  expect(found[1]?.text).toMatch(/20 bytes/);
  expect(found[3]?.advice).toContain('IPFS_GATEWAY_URL');
});

test('the Kubo node by its version, asked as it wants to be asked', async () => {
  await using kubo = await serve((request, response) => {
    if (request.method !== 'POST') response.writeHead(405).end();
    else response.end(JSON.stringify({ Version: '0.42.0', Commit: '' }));
  });
  await using other = await serve((_request, response) => response.end('{}'));
  expect(await look({ kuboUrl: kubo.url })).toMatchObject([{ ok: true, text: /^version 0\.42\.0 / }]);
  expect(await look({ kuboUrl: other.url })).toMatchObject([{ ok: false, advice: /IPFS_KUBO_URL/ }]);
});

test('a place in S3 that lets us read, and one that does not', async () => {
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret } = process.env;
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' });
  await using good = await serve((request, response) => {
    const isList = request.url?.startsWith('/cars') && request.headers.authorization?.includes('Credential=key/');
    response.writeHead(isList ? 200 : 400, { 'content-type': 'application/xml' });
    response.end('<ListBucketResult><Name>cars</Name><IsTruncated>false</IsTruncated></ListBucketResult>');
  });
  await using shut = await serve((_request, response) => {
    response.writeHead(403, { 'content-type': 'application/xml' });
    response.end('<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>');
  });
  await using empty = await serve((_request, response) => {
    response.writeHead(404, { 'content-type': 'application/xml' });
    response.end('<Error><Code>NoSuchBucket</Code><Message>none</Message></Error>');
  });
  try {
    const found = (await look({ s3Places: [good.url, shut.url, empty.url] })).filter(({ check }) =>
      check.includes('s3://'),
    );
    expect(found).toMatchObject([
      { ok: true },
      { ok: false, advice: /LADING_PULL_S3/ },
      { ok: false, text: /bucket of LADING_PULL_S3/ },
    ]);
  } finally {
    for (const [name, was] of Object.entries({ AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret }))
      if (was === undefined) delete process.env[name];
      else process.env[name] = was;
  }
});
