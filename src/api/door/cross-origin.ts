import type { FastifyReply, FastifyRequest } from 'fastify';
import { collectRoutes } from '../answers/routes-at.ts';
import type { Server } from '../answers/typed-server.ts';

/** Longer than a browser keeps the answer to its question (two hours at most). */
const MAX_AGE_SECONDS = 7_200;
const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE';
/** What the clients send; X-Client and X-Agent-DID are the nft.storage client's. */
const REQUEST_HEADERS =
  'Authorization, Content-Type, Content-Encoding, Accept, Range, If-Range, If-Match, Last-Event-ID, X-Request-Id, X-Client, X-Agent-DID';
const RESPONSE_HEADERS =
  'Retry-After, X-Request-Id, ETag, Content-Range, Accept-Ranges, Link, Location, WWW-Authenticate';

/**
 * Which web pages may call the API from a browser (CORS): any page the public routes, all else those of the origins given.
 * Never with credentials: what opens the door is a token in a header, which no browser sends by itself.
 */
export function answerCrossOrigin(server: Server, origins: readonly string[]): void {
  const routesAt = collectRoutes(server);
  const allow = (request: FastifyRequest, reply: FastifyReply, open: boolean): boolean => {
    const { origin } = request.headers;
    if (open || origins.includes('*')) {
      reply.header('access-control-allow-origin', '*');
      return true;
    }
    if (origins.length > 0) reply.header('vary', 'Origin');
    if (origin === undefined || !origins.includes(origin)) return false;
    reply.header('access-control-allow-origin', origin);
    return true;
  };
  server.addHook('onRequest', (request, reply, done) => {
    const asked = request.headers['access-control-request-method'];
    if (request.method !== 'OPTIONS' || request.headers.origin === undefined || asked === undefined) {
      const open = request.routeOptions.config.access === 'public';
      if (allow(request, reply, open)) reply.header('access-control-expose-headers', RESPONSE_HEADERS);
      return done();
    }
    const [path = ''] = request.url.split('?');
    const open = routesAt(path).some(({ method, isPublic }) => isPublic && method === asked);
    if (allow(request, reply, open)) {
      reply.header('access-control-allow-methods', METHODS);
      reply.header('access-control-allow-headers', REQUEST_HEADERS);
      reply.header('access-control-max-age', MAX_AGE_SECONDS);
    }
    // Without those headers the browser makes no call: that is the refusal.
    reply.code(204).send();
  });
}
