import type { Server } from '../answers/typed-server.ts';

/**
 * JSON bodies are small: one that has not arrived in this time is held back. Streams have no limit in all, they only must
 * move (server.ts, idleMs).
 */
export function limitBodyTime(server: Server, bodyMs: number): void {
  server.addHook('preParsing', (request, _reply, payload, done) => {
    if (request.routeOptions.schema?.body !== undefined) {
      const timer = setTimeout(() => request.raw.destroy(), bodyMs);
      request.raw.once('close', () => clearTimeout(timer));
      request.raw.once('end', () => clearTimeout(timer));
    }
    done(null, payload);
  });
}
