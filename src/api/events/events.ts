import type { FastifyRequest } from 'fastify';
import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB } from '../../db/tables.ts';
import type { DealNetwork } from '../../deals/status/deal-object.ts';
import { EventHub, type HubLimits } from '../../events/hub.ts';
import { findLast } from '../../events/outbox.ts';
import { greeting } from '../../events/sse.ts';
import { SseStream } from '../../events/sse-stream.ts';
import type { Log } from '../../log/log.ts';
import { filterQuery, readFilter } from './event-filter.ts';
import { findPlace, formatPlace, ownerOf, placeQuery } from './event-place.ts';
import { exactly, problem, streamed } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

export interface EventDeps {
  kysely: Kysely<DB>;
  log: Pick<Log, 'warn'>;
  dealNetwork(): DealNetwork | undefined;
  eventLimits?: Partial<HubLimits>;
}

const querystring = exactly({ ...filterQuery, ...placeQuery });
const lastEventId = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({
      description: 'as `after`, which it overrules: programs send it when they come again',
      examples: ['0'],
    }),
  ),
});

/** Changes of uploads as server-sent events. */
export function eventRoutes(server: Server, deps: EventDeps): void {
  const hub = new EventHub({
    kysely: deps.kysely,
    log: deps.log,
    letter: () => deps.dealNetwork()?.addressLetter ?? 'f',
    ...(deps.eventLimits !== undefined && { limits: deps.eventLimits }),
  });
  // Before connections are waited for: a stream ends only by us.
  server.addHook('preClose', () => hub.close());
  server.get(
    '/events',
    {
      config: {
        access: ['upload', 'ops', 'read'],
        endless: true,
        errors: ['INVALID_CID', 'INVALID_EVENT_ID', 'TOO_MANY_STREAMS'],
      },
      schema: {
        tags: ['events'],
        summary: 'Follow changes of uploads as server-sent events',
        description:
          'Each event is named change; its data is one change of one upload as JSON, its id goes into Last-Event-ID, and that of the answer, where the stream begins, until there is one. At least once: the same id is the same change. A token of role upload is told of its own uploads, or of the CIDs that it names.',
        querystring,
        headers: lastEventId,
        produces: ['text/event-stream'],
        response: { 200: streamed, '4xx': problem, '5xx': problem },
      },
    },
    async (request, reply) => {
      const filter = readFilter(request.query, ownerOf(request));
      const after = await findPlace(deps.kysely, lastIdOf(request) ?? request.query.after);
      const begins = formatPlace(after ?? (await findLast(deps.kysely)));
      const stream = new SseStream();
      stream.write(greeting(begins));
      const subscription = await hub.subscribe(filter, stream, after);
      stream.onDrained = () => subscription.drained();
      stream.once('close', () => subscription.close());
      reply.type('text/event-stream').header('cache-control', 'no-store').header('x-accel-buffering', 'no');
      // As in the greeting, for readers whose parser tells them of changes alone.
      reply.header('last-event-id', begins);
      return reply.send(stream);
    },
  );
}

function lastIdOf({ headers }: FastifyRequest): string | undefined {
  const given = [headers['last-event-id']].flat()[0];
  return given === undefined || given.trim() === '' ? undefined : given;
}
