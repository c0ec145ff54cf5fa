import { createHash, randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import type { TokenRole } from '../../src/config.ts';
import { insertToken, setRevoked } from '../../src/tokens/token-store.ts';
import { apiFixture, pieceTokens, tokens, type ApiFixture } from '../support/api-fixture.ts';

/** Who may call a route, told here a second time and by hand: a route without a row, or a row without a route, fails. */
type Who = 'all' | 'piece' | 'scrape' | `${'upload' | '-'} ${'ops' | '-'} ${'read' | '-'}`;

const expected: Record<string, Who> = {
  'GET /': 'upload - -',
  'GET /:cid': 'upload - -',
  'DELETE /:cid': 'upload - -',
  'POST /upload': 'upload - -',
  'GET /check/:cid': 'all',
  'POST /check': 'upload ops read',
  'GET /uploads': 'upload ops read',
  'POST /uploads': 'upload - -',
  'GET /uploads/pulls': 'upload ops read',
  'GET /uploads/pulls/:id': 'upload ops read',
  'DELETE /uploads/pulls/:id': 'upload ops -',
  'GET /uploads/:cid': 'upload ops read',
  'GET /uploads/:cid/history': 'upload ops read',
  'GET /uploads/:cid/placements': 'upload ops read',
  'GET /uploads/:cid/proof': 'upload ops read',
  'GET /events': 'upload ops read',
  'GET /webhooks': 'upload ops -',
  'POST /webhooks': 'upload ops -',
  'GET /webhooks/:id': 'upload ops -',
  'DELETE /webhooks/:id': 'upload ops -',
  'GET /webhooks/:id/dead': 'upload ops -',
  'POST /webhooks/:id/redrive': 'upload ops -',
  'GET /aggregates': '- ops read',
  'POST /aggregates/:id/seal': '- ops -',
  'GET /aggregates/:pieceCid': '- ops read',
  'GET /aggregates/:pieceCid/choices': '- ops read',
  'GET /aggregates/:pieceCid/inside': '- ops read',
  'GET /aggregates/:pieceCid/runs': '- ops read',
  'GET /aggregates/:pieceCid/entries': '- ops read',
  'GET /audit': '- ops -',
  'GET /deals': '- ops read',
  'GET /deals/manifest': '- ops -',
  'GET /deals/:id': '- ops read',
  'GET /deals/:id/history': '- ops read',
  'POST /deals/:id/abandon': '- ops -',
  'POST /deals/:id/retry': '- ops -',
  'GET /providers': '- ops read',
  'POST /providers': '- ops -',
  'GET /providers/:id': '- ops read',
  'PATCH /providers/:id': '- ops -',
  'POST /providers/:id/pause': '- ops -',
  'POST /providers/:id/remove': '- ops -',
  'POST /providers/:id/resume': '- ops -',
  'GET /proposing': '- ops read',
  'POST /proposing/pause': '- ops -',
  'POST /proposing/resume': '- ops -',
  'GET /jobs': '- ops read',
  'GET /jobs/troubled': '- ops read',
  'POST /jobs/redrive': '- ops -',
  'GET /dead-letters': '- ops read',
  'POST /dead-letters/redrive': '- ops -',
  'GET /ops/overview': '- ops read',
  'GET /ops/funnel': '- ops read',
  'GET /ops/uploads-by-state': '- ops read',
  'GET /ops/daily': '- ops read',
  'GET /ops/time-percentiles': '- ops read',
  'GET /ops/stuck': '- ops read',
  'GET /ops/deals-by-state': '- ops read',
  'GET /ops/deals-by-provider': '- ops read',
  'GET /ops/providers': '- ops read',
  'GET /ops/transfers': '- ops read',
  'GET /ops/expiring': '- ops read',
  'GET /ops/runway': '- ops read',
  'GET /ops/no-takers': '- ops read',
  'GET /ops/chain': '- ops read',
  'GET /ops/jobs': '- ops read',
  'GET /ops/job-faults': '- ops read',
  'GET /ops/outbox': '- ops read',
  'GET /ops/webhooks': '- ops read',
  'GET /ops/store': '- ops read',
  'GET /policy': '- ops read',
  'GET /policy/history': '- ops read',
  'PUT /policy': '- ops -',
  'GET /chain': '- ops read',
  'GET /tokens': '- ops -',
  'POST /tokens': '- ops -',
  'DELETE /tokens/:id': '- ops -',
  'GET /piece/:pieceCid': 'piece',
  'HEAD /piece/:pieceCid': 'piece',
  'GET /pins': 'upload - -',
  'POST /pins': 'upload - -',
  'GET /pins/:requestid': 'upload - -',
  'POST /pins/:requestid': 'upload - -',
  'DELETE /pins/:requestid': 'upload - -',
  'GET /ipfs/:cid': '- ops read',
  'HEAD /ipfs/:cid': '- ops read',
  'GET /ipfs/:cid/*': '- ops read',
  'HEAD /ipfs/:cid/*': '- ops read',
  'GET /docs': 'all',
  'GET /docs/json': 'all',
  'GET /dashboard': 'all',
  'GET /dashboard/*': 'all',
  'GET /dashboard/assets/:build/*': 'all',
  'POST /dashboard/session': 'all',
  'DELETE /dashboard/session': 'all',
  'GET /dashboard/session': 'all',
  'GET /dashboard/live': 'upload ops read',
  'GET /livez': 'all',
  'GET /readyz': 'all',
  // From this machine, as the test calls; from elsewhere see metrics.db.test.ts.
  'GET /metrics': 'scrape',
};

const roles = ['upload', 'ops', 'read'] as const;
const START = new Date('2024-04-01T00:00:00Z');

function makeText(): string {
  return `lading_${randomBytes(32).toString('base64url')}`;
}

/** A token of the database, as rows: the routes that make them are tested elsewhere. */
async function seedToken({ kysely }: ApiFixture, name: string, role: TokenRole, expiresAt?: Date) {
  const text = makeText();
  const digest = createHash('sha256').update(text).digest();
  const { id } = await insertToken(kysely, { name, role, digest, createdAt: START, createdBy: 'test', expiresAt });
  return { id, text };
}

interface CallerRow {
  authorization?: string;
  /** The role that it has; `piece`: the token of a deal; undefined: it is nobody. */
  as?: TokenRole | 'piece';
}

async function callers(fixture: ApiFixture): Promise<Record<string, CallerRow>> {
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const rows: Record<string, CallerRow> = {
    nobody: {},
    'another scheme': { authorization: `Basic ${Buffer.from(`operator:${tokens.ops}`).toString('base64')}` },
    'an unknown token': bearer('not-one-of-ours'),
    'an unknown token as the database makes them': bearer(makeText()),
    'a token too long': bearer(`${tokens.ops}${'x'.repeat(2_000)}`),
    'a piece token': { ...bearer(pieceTokens.tokenFor('00000000-0000-4000-8000-000000000001')), as: 'piece' },
  };
  for (const role of roles) {
    rows[`a configured token of role ${role}`] = { ...bearer(tokens[role]), as: role };
    rows[`a token of role ${role}`] = { ...bearer((await seedToken(fixture, `live-${role}`, role)).text), as: role };
    const revoked = await seedToken(fixture, `revoked-${role}`, role);
    await setRevoked(fixture.kysely, revoked.id, { by: 'test', at: START });
    rows[`a revoked token of role ${role}`] = bearer(revoked.text);
    const expired = await seedToken(fixture, `expired-${role}`, role, new Date(START.getTime() + 1));
    rows[`an expired token of role ${role}`] = bearer(expired.text);
  }
  rows['a token with a name of the configuration'] = bearer((await seedToken(fixture, 'operator', 'ops')).text);
  return rows;
}

function expectedStatus(who: Who, as: CallerRow['as'], name: string): 'open' | 401 | 403 {
  if (who === 'all') return 'open';
  if (who === 'scrape' && name === 'nobody') return 'open';
  if (as === undefined) return 401;
  if (as === 'piece') return who === 'piece' ? 'open' : 403;
  return (who === 'piece' || who === 'scrape' ? 'ops read' : who).includes(as) ? 'open' : 403;
}

/** Parameters that no route accepts: so nothing is changed, and whoever is let in is told of them. */
async function statusOf(url: string, route: string, { authorization }: CallerRow): Promise<'open' | number> {
  const [method = '', path = ''] = route.split(' ');
  const withBody = !['GET', 'HEAD', 'DELETE'].includes(method);
  const gone = new AbortController();
  const response = await fetch(url + path.replaceAll(/:\w+/g, 'x'), {
    method,
    signal: gone.signal,
    headers: {
      ...(authorization !== undefined && { authorization }),
      ...(withBody && { 'content-type': 'application/json' }),
      // As the page of the dashboard calls: from elsewhere sessions neither begin nor end.
      'sec-fetch-site': 'same-origin',
    },
    ...(withBody && { body: '{"nobody":"knows"}' }),
  });
  // The one of /events does not end.
  if (response.headers.get('content-type')?.startsWith('text/event-stream') === true) gone.abort();
  else await response.arrayBuffer();
  const { status } = response;
  if (status === 401 || status === 403 || status >= 500) return status;
  return 'open';
}

test('every route opens to those who may call it, and to nobody else', async () => {
  const routes: string[] = [];
  await using fixture = await apiFixture({ server: { strict: false, onRoute: (route) => routes.push(route) } });
  const { url } = await fixture.listen();
  expect(routes.toSorted()).toEqual(Object.keys(expected).toSorted());
  const seen: Record<string, unknown> = {};
  const wanted: Record<string, unknown> = {};
  for (const [name, caller] of Object.entries(await callers(fixture))) {
    const ask = async ([route, who]: [string, Who]) => {
      wanted[`${route} by ${name}`] = expectedStatus(who, caller.as, name);
      seen[`${route} by ${name}`] = await statusOf(url, route, caller);
    };
    await Promise.all(Object.entries(expected).map(ask));
  }
  expect(seen).toEqual(wanted);
});

test('where /check is not public it is for every role', async () => {
  await using fixture = await apiFixture({ server: { strict: false, publicCheck: false } });
  const { url } = await fixture.listen();
  for (const [name, caller] of Object.entries(await callers(fixture))) {
    const status = await statusOf(url, 'GET /check/:cid', caller);
    expect([name, status]).toEqual([name, expectedStatus('upload ops read', caller.as, name)]);
  }
});
