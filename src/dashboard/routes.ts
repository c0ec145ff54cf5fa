import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import { exactly, problem, streamed } from '../api/answers/schemas.ts';
import type { Server } from '../api/answers/typed-server.ts';
import type { Caller, Door } from '../api/door/callers.ts';
import { isFromOwnPage } from '../api/door/own-page.ts';
import { endedSession } from '../api/door/session-cookie.ts';
import type { DB } from '../db/tables.ts';
import { LadingError } from '../errors.ts';
import { SseStream } from '../events/sse-stream.ts';
import type { Log } from '../log/log.ts';
import { loadAssets, staticImports } from './assets.ts';
import { chooseEncoding, createCompressor } from './compress.ts';
import { ASSETS_PATH, renderShell, type Shell } from './html.ts';
import { LiveChanges } from './live-changes.ts';

export interface DashboardDeps {
  kysely: Kysely<DB>;
  log: Pick<Log, 'warn'>;
  /** As the dashboard names it. */
  networkName?: string;
}

/** Longer than any token of ours. */
const MAX_TOKEN_CHARS = 2_048;
/** What has the build in its path never changes. */
const FOR_EVER = 'public, max-age=31536000, immutable';

/** As the assets themselves, of the whole process. */
const compressed = createCompressor();

const anyQuery = Type.Object({});
const tags = ['dashboard'];
const sessionSchema = exactly({
  name: Type.String({ description: 'that of the token' }),
  role: Type.Union([Type.Literal('upload'), Type.Literal('ops'), Type.Literal('read')]),
  network: Type.String({ description: 'mainnet, calibration or devnet', examples: ['mainnet'] }),
});
const failures = { '4xx': problem, '5xx': problem };
const open = { access: 'public' } as const;

/** The dashboard: its page, its session, and the line that tells it of changes. All it shows is asked of the API. */
export function dashboardRoutes(server: Server, deps: DashboardDeps, door: Door): void {
  pageRoutes(server);
  assetRoute(server);
  loginRoute(server, deps, door);
  sessionRoutes(server, deps);
  liveRoute(server, deps);
}

/** Reads and compresses what the first page needs, so that who looks first waits for nothing. */
export async function readyFirstLoad(): Promise<void> {
  const assets = loadAssets();
  for (const path of ['style.css', ...staticImports(assets, 'main.ts')]) {
    const asset = assets.files.get(path);
    if (asset !== undefined) await compressed(asset.body, 'br');
  }
}

function pageRoutes(server: Server): void {
  let shell: Shell | undefined;
  const schema = {
    summary: 'The dashboard',
    description: 'A page for people. It asks for a token, and shows what the API has.',
    tags,
    querystring: anyQuery,
    produces: ['text/html'],
    response: { 200: streamed },
  };
  const answer = async (encodings: string | undefined, reply: FastifyReply): Promise<void> => {
    shell ??= renderShell(loadAssets());
    const encoding = chooseEncoding(encodings);
    reply.header('content-security-policy', shell.policy).header('cache-control', 'no-cache');
    await sendBody(reply, { type: 'text/html; charset=utf-8', encoding, tag: loadAssets().build }, () =>
      compressed(shell?.html ?? Buffer.alloc(0), encoding),
    );
  };
  for (const [url, hide] of [
    ['/dashboard', false],
    ['/dashboard/*', true],
  ] as const) {
    server.get(url, { config: open, schema: { ...schema, hide } }, async (request, reply) => {
      await answer(request.headers['accept-encoding'], reply);
      return reply;
    });
  }
}

function assetRoute(server: Server): void {
  server.get(
    `${ASSETS_PATH}/:build/*`,
    {
      config: { ...open, errors: ['NOT_FOUND'] },
      schema: {
        hide: true,
        summary: 'What the page of the dashboard is made of',
        description: 'Kept by browsers for ever: the path changes with what is in it.',
        tags,
        params: exactly({ build: Type.String(), '*': Type.String() }),
        querystring: exactly({}),
        response: { 200: streamed, ...failures },
      },
    },
    async ({ params, headers }, reply) => {
      const { build, files } = loadAssets();
      const asset = params.build === build ? files.get(params['*']) : undefined;
      if (asset === undefined) {
        throw new LadingError('NOT_FOUND', 'the dashboard has no such file, or not any more: load the page again');
      }
      const encoding = chooseEncoding(headers['accept-encoding']);
      reply.header('cache-control', FOR_EVER);
      await sendBody(reply, { type: asset.type, encoding, tag: build }, () => compressed(asset.body, encoding));
      return reply;
    },
  );
}

interface Sent {
  type: string;
  encoding: string;
  tag: string;
}

/** Nothing is sent to who has it already. */
async function sendBody(reply: FastifyReply, sent: Sent, read: () => Promise<Buffer>): Promise<void> {
  const tag = `"${sent.tag}-${sent.encoding}"`;
  reply.header('etag', tag).header('vary', 'Accept-Encoding');
  if (reply.request.headers['if-none-match']?.includes(tag) === true) {
    reply.code(304).send();
    return;
  }
  if (sent.encoding !== 'identity') reply.header('content-encoding', sent.encoding);
  reply.type(sent.type).send(await read());
}

function sessionAnswer(caller: Extract<Caller, { kind: 'token' }>, { networkName = '' }: DashboardDeps) {
  return { name: caller.name, role: caller.role, network: networkName };
}

function loginRoute(server: Server, deps: DashboardDeps, door: Door): void {
  server.post(
    '/dashboard/session',
    {
      config: { ...open, errors: ['UNAUTHORIZED', 'FORBIDDEN'] },
      schema: {
        summary: 'Begin a session of the dashboard',
        description:
          'For a token of any role: answers with a cookie that no script reads, good for a week and no longer than the token. With it the pages of the dashboard, and no others, may call what the token may.',
        tags,
        body: exactly({ token: Type.String({ minLength: 1, maxLength: MAX_TOKEN_CHARS }) }),
        querystring: exactly({}),
        response: { 200: sessionSchema, ...failures },
      },
    },
    async (request, reply) => {
      checkOwnPage(request);
      // Whether the browser came by https, also where a proxy speaks http to us.
      const secure = request.protocol === 'https' || request.headers.origin?.startsWith('https:') === true;
      const { caller, cookie } = await door.openSession(request.body.token, { ip: request.ip, secure });
      reply.header('set-cookie', cookie).header('cache-control', 'no-store');
      return sessionAnswer(caller, deps);
    },
  );
}

/** Or the page of somebody else could log its visitors in as whom it likes, or out. */
function checkOwnPage(request: FastifyRequest): void {
  if (!isFromOwnPage(request))
    throw new LadingError('FORBIDDEN', 'only the page of the dashboard logs in and out here');
}

function sessionRoutes(server: Server, deps: DashboardDeps): void {
  server.get(
    '/dashboard/session',
    {
      config: open,
      schema: {
        summary: 'Whose session this is',
        description: '204: nobody is logged in.',
        tags,
        querystring: exactly({}),
        response: { 200: sessionSchema, 204: Type.Null({ description: 'Nobody is logged in.' }), ...failures },
      },
    },
    async ({ caller }, reply) => {
      reply.header('cache-control', 'no-store');
      return caller?.kind === 'token' ? sessionAnswer(caller, deps) : reply.code(204).send(null);
    },
  );
  server.delete(
    '/dashboard/session',
    {
      config: { ...open, errors: ['FORBIDDEN'] },
      schema: {
        summary: 'End the session of the dashboard',
        description: 'Takes the cookie away. The token stays good.',
        tags,
        querystring: exactly({}),
        response: { 204: Type.Null({ description: 'The session has ended.' }), ...failures },
      },
    },
    async (request, reply) => {
      checkOwnPage(request);
      return reply.header('set-cookie', endedSession()).code(204).send(null);
    },
  );
}

function liveRoute(server: Server, deps: DashboardDeps): void {
  const live = new LiveChanges(deps);
  // Before connections are waited for: a stream ends only by us.
  server.addHook('preClose', () => live.close());
  server.get(
    '/dashboard/live',
    {
      config: { access: ['upload', 'ops', 'read'], endless: true, errors: ['TOO_MANY_STREAMS'] },
      schema: {
        summary: 'What changes, by topic, as server-sent events',
        description:
          'First `hello` with the build of the page, then `change` with the topics that changed, at most once a second. It says where to look, not what: programs follow GET /events.',
        tags,
        querystring: exactly({}),
        produces: ['text/event-stream'],
        response: { 200: streamed, ...failures },
      },
    },
    async (_request, reply) => {
      if (live.isFull) throw new LadingError('TOO_MANY_STREAMS', 'too many pages look at once: close some');
      const stream = new SseStream();
      stream.write(`retry: 2000\nevent: hello\ndata: ${JSON.stringify({ build: loadAssets().build })}\n\n`);
      live.add(stream);
      reply.type('text/event-stream').header('cache-control', 'no-store').header('x-accel-buffering', 'no');
      return reply.send(stream);
    },
  );
}
