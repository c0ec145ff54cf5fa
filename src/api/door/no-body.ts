import { BadInput } from '../../errors.ts';
import type { Server } from '../answers/typed-server.ts';

/** What a route does not take it refuses: a body that is read and left would be believed to do something. */
export function refuseBodies(server: Server): void {
  server.addHook('preValidation', ({ body, routeOptions: { schema } }, _reply, done) => {
    const takesBody = schema?.body !== undefined || schema?.consumes !== undefined;
    if (takesBody || body === undefined || body === null) return done();
    return done(new BadInput('INVALID_REQUEST', 'this route takes no body: send none'));
  });
}
