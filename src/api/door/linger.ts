import type { Server } from '../answers/typed-server.ts';

/** Long enough for a client in full flow to see the answer, too short to send much more. */
const LINGER_MS = 2_000;

/**
 * An error is often known before the body has arrived. Closing at once would reset the connection, and the client would
 * lose the answer; reading all of a 32 GiB body would be wasted. So the rest is thrown away for a moment, then the
 * connection is cut.
 */
export function lingerAfterEarlyAnswers(server: Server): void {
  server.addHook('onResponse', ({ raw }, _reply, done) => {
    done();
    if (raw.complete || raw.readableEnded || raw.destroyed) return;
    const timer = setTimeout(() => raw.destroy(), LINGER_MS);
    raw.once('end', () => clearTimeout(timer));
    raw.once('close', () => clearTimeout(timer));
    raw.resume();
  });
}
