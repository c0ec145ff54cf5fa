import type { FastifyRequest } from 'fastify';
import type { Log } from '../../log/log.ts';
import { openStory, within, type Story } from '../../log/story.ts';
import type { Server } from '../answers/typed-server.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Undefined of what never became a request of any route. */
    story: Story | undefined;
  }
}

export interface Answered {
  method: string;
  /** Undefined: it is none of ours. */
  route: string | undefined;
  status: number;
  ms: number;
  /** The answer goes on until somebody ends it. */
  endless: boolean;
}

interface StoryDeps {
  log: Log;
  /** Told of each request that was answered. */
  onAnswered?(request: Answered): void;
}

/** A read that takes longer is worth a line. */
const SLOW_MS = 1_000;
const READING = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Pure. Reads are many, and say little: only what is slow or went wrong inside is told unasked. */
export function levelOf({ method, status, ms, endless }: Omit<Answered, 'route'>): 'debug' | 'info' | 'warn' {
  if (status >= 500) return 'warn';
  if (!READING.has(method)) return 'info';
  return ms >= SLOW_MS && !endless ? 'info' : 'debug';
}

/** Each request is a story: its lines have its id, and the last of them says who asked for what, and what came of it. */
export function tellRequests(server: Server, { log, onAnswered }: StoryDeps): void {
  server.decorateRequest('story', undefined);
  server.addHook('onRequest', (request, _reply, done) => {
    request.story = openStory({ requestId: request.id });
    within(request.story, done);
  });
  // The body was read by events of the connection, which know of no story.
  server.addHook('preValidation', (request, _reply, done) => {
    if (request.story === undefined) done();
    else within(request.story, done);
  });
  server.addHook('onResponse', (request, reply, done) => {
    const { method } = request;
    const { url: route, config } = request.routeOptions;
    const { statusCode: status, elapsedTime: ms } = reply;
    const answered = { method, route, status, ms, endless: config.endless === true };
    log[levelOf(answered)](lineOf(request, answered), 'request.answered');
    onAnswered?.(answered);
    done();
  });
}

function lineOf({ id, caller, params, story }: FastifyRequest, { method, route, status, ms }: Answered) {
  const who = caller?.kind === 'token' ? caller.name : caller?.dealId;
  const given = params as Record<string, unknown> | undefined;
  const named = route !== undefined && given !== undefined && Object.keys(given).length > 0 ? { params: given } : {};
  return { requestId: id, method, route, ...named, status, who, ms: Math.round(ms), ...story?.notes };
}
