import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB } from '../db/tables.ts';
import { findDeal, listDealEvents, listDeals, type DealEvent, type ListedDeal } from '../deals/status/deal-list.ts';
import { dealObject, type DealNetwork } from '../deals/status/deal-object.ts';
import { dealStates } from '../deals/deal-states.ts';
import { formatOffsetTime } from '../deals/status/time-format.ts';
import { LadingError } from '../errors.ts';
import {
  decodeCursor,
  encodeCursor,
  exactly,
  nullableNumber,
  nullableText,
  pageLimit,
  pageQuery,
  problem,
} from './schemas.ts';
import { dealSchema, knownNetwork } from './status-answer.ts';
import type { Server } from './typed-server.ts';

export interface DealDeps {
  kysely: Kysely<DB>;
  dealNetwork(): DealNetwork | undefined;
}

const UUID = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';

const listedProperties = {
  id: Type.String(),
  aggregateId: Type.String(),
  slot: Type.Integer(),
  generation: Type.Integer(),
  attempts: Type.Integer(),
  proposalCid: Type.String(),
  created: Type.String(),
  reasonCode: nullableText,
  ...dealSchema.properties,
};

const eventSchema = exactly({
  at: Type.String(),
  from: nullableText,
  to: Type.String(),
  reasonCode: nullableText,
  detail: nullableText,
  epoch: nullableNumber,
});

const access = ['ops', 'read'] as const;

export function dealRoutes(server: Server, deps: DealDeps): void {
  server.get(
    '/deals',
    {
      config: { access },
      schema: {
        querystring: exactly({
          ...pageQuery,
          state: Type.Optional(Type.Union(dealStates.map((state) => Type.Literal(state)))),
          provider: Type.Optional(Type.String({ pattern: '^f0[0-9]+$' })),
        }),
        response: {
          200: exactly({ items: Type.Array(exactly(listedProperties)), next: nullableText }),
          '4xx': problem,
          '5xx': problem,
        },
      },
    },
    async ({ query }) => {
      const { state, provider } = query;
      const limit = pageLimit(query);
      const after = query.cursor === undefined ? {} : { after: parseCursor(query.cursor) };
      const filter = {
        limit,
        ...after,
        ...(state === undefined ? {} : { state }),
        ...(provider === undefined ? {} : { provider }),
      };
      const deals = await listDeals(deps.kysely, filter);
      return {
        items: deals.map((deal) => listed(deal, deps)),
        next: deals.length < limit ? null : cursorOf(deals.at(-1)),
      };
    },
  );
  server.get(
    '/deals/:id',
    {
      config: { access },
      schema: {
        params: exactly({ id: Type.String({ pattern: UUID }) }),
        querystring: exactly({}),
        response: {
          200: exactly({ ...listedProperties, events: Type.Array(eventSchema) }),
          '4xx': problem,
          '5xx': problem,
        },
      },
    },
    async ({ params: { id } }) => {
      const deal = await findDeal(deps.kysely, id);
      if (deal === undefined) throw new LadingError('NOT_FOUND', `there is no deal ${id}`);
      const events = await listDealEvents(deps.kysely, id);
      return { ...listed(deal, deps), events: events.map(eventAnswer) };
    },
  );
}

function listed(deal: ListedDeal, deps: DealDeps) {
  return {
    id: deal.id,
    aggregateId: deal.aggregateId.toString(),
    slot: deal.slot,
    generation: deal.generation,
    attempts: deal.attempts,
    proposalCid: deal.proposalCid,
    created: formatOffsetTime(deal.createdAt, 'microseconds'),
    reasonCode: deal.reasonCode,
    ...dealObject(deal, knownNetwork(deps)),
  };
}

function eventAnswer({ at, ...event }: DealEvent) {
  return { at: formatOffsetTime(at, 'microseconds'), ...event };
}

function cursorOf(deal: ListedDeal | undefined): string | null {
  return deal === undefined ? null : encodeCursor([deal.createdAt.toISOString(), deal.id]);
}

function parseCursor(cursor: string): { createdAt: Date; id: string } {
  const [at = '', id = ''] = decodeCursor(cursor, [/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, new RegExp(UUID)]);
  return { createdAt: new Date(at), id };
}
