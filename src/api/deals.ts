import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { Clock } from '../clock.ts';
import type { DB } from '../db/tables.ts';
import { abandonDeal, retryDeal } from '../deals/act-on-deal.ts';
import { listChoices } from '../deals/propose/choice-store.ts';
import { findDelivery } from '../deals/send/transfer-store.ts';
import { findDeal, listDealEvents, listDeals, type DealEvent, type ListedDeal } from '../deals/status/deal-list.ts';
import { dealObject, type DealNetwork } from '../deals/status/deal-object.ts';
import { parseProviderId } from '../deals/providers/providers.ts';
import { dealStates } from '../deals/deal-states.ts';
import { formatOffsetTime } from '../deals/status/time-format.ts';
import { BadInput, LadingError } from '../errors.ts';
import { epochAt } from '../filecoin/epoch.ts';
import { MAX_DEAL_DURATION_EPOCHS } from '../filecoin/limits.ts';
import { EPOCH_SECONDS } from '../filecoin/networks.ts';
import { parseDurationMs } from '../filecoin/units.ts';
import type { Jobs } from '../jobs.ts';
import { actOf } from './auth.ts';
import { choiceAnswer, choiceSchema } from './choices.ts';
import { deliveryAnswer, deliverySchema } from './delivery-answer.ts';
import { reasonBody } from './providers.ts';
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
  clock: Clock;
  jobs: Jobs;
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
  listRoute(server, deps);
  showRoute(server, deps);
  actRoute(server, deps, { path: 'retry', act: retryDeal });
  actRoute(server, deps, { path: 'abandon', act: abandonDeal });
}

function listRoute(server: Server, deps: DealDeps): void {
  server.get(
    '/deals',
    {
      config: { access },
      schema: {
        querystring: exactly({
          ...pageQuery,
          state: Type.Optional(Type.Union(dealStates.map((state) => Type.Literal(state)))),
          provider: Type.Optional(Type.String({ pattern: '^[ft]0[0-9]{1,18}$' })),
          expiring: Type.Optional(
            Type.String({ maxLength: 20, description: 'active deals that end within this time, such as 45d' }),
          ),
        }),
        response: {
          200: exactly({ items: Type.Array(exactly(listedProperties)), next: nullableText }),
          '4xx': problem,
          '5xx': problem,
        },
      },
    },
    async ({ query }) => {
      const { state, provider, expiring } = query;
      const limit = pageLimit(query);
      const after = query.cursor === undefined ? {} : { after: parseCursor(query.cursor) };
      const filter = {
        limit,
        ...after,
        ...(state === undefined ? {} : { state }),
        ...(provider === undefined ? {} : { provider: parseProviderId(provider) }),
        ...(expiring === undefined ? {} : { endsBy: endsBy(deps, expiring) }),
      };
      const deals = await listDeals(deps.kysely, filter);
      return {
        items: deals.map((deal) => listed(deal, deps)),
        next: deals.length < limit ? null : cursorOf(deals.at(-1)),
      };
    },
  );
}

function showRoute(server: Server, deps: DealDeps): void {
  server.get(
    '/deals/:id',
    {
      config: { access },
      schema: {
        params: exactly({ id: Type.String({ pattern: UUID }) }),
        querystring: exactly({}),
        response: {
          200: exactly({
            ...listedProperties,
            events: Type.Array(eventSchema),
            choices: Type.Array(choiceSchema),
            delivery: deliverySchema,
          }),
          '4xx': problem,
          '5xx': problem,
        },
      },
    },
    async ({ params: { id } }) => {
      const deal = await findDeal(deps.kysely, id);
      if (deal === undefined) throw new LadingError('NOT_FOUND', `there is no deal ${id}`);
      const events = await listDealEvents(deps.kysely, id);
      const choices = await listChoices(deps.kysely, deal.aggregateId, { limit: CHOICES_SHOWN });
      const now = deps.clock.now();
      const delivery = deliveryAnswer(await findDelivery(deps.kysely, id), { state: deal.state, now });
      return { ...listed(deal, deps), events: events.map(eventAnswer), choices: choices.map(choiceAnswer), delivery };
    },
  );
}

/** The aggregate's newest decisions, beside a deal; all of them are in a list of their own. */
const CHOICES_SHOWN = 5;

function actRoute(
  server: Server,
  deps: DealDeps,
  { path, act }: { path: 'retry' | 'abandon'; act: typeof retryDeal },
): void {
  server.post(
    `/deals/:id/${path}`,
    {
      config: { access: ['ops'] },
      schema: {
        params: exactly({ id: Type.String({ pattern: UUID }) }),
        body: Type.Union([exactly({ reason: reasonBody }), Type.Null()]),
        querystring: exactly({}),
        response: { 200: exactly(listedProperties), '4xx': problem, '5xx': problem },
      },
    },
    async (request) => {
      const { kysely: db, jobs, clock } = deps;
      const { id } = request.params;
      await act({ db, jobs, clock }, id, actOf(request, request.body?.reason));
      const deal = await findDeal(db, id);
      if (deal === undefined) throw new LadingError('NOT_FOUND', `there is no deal ${id}`);
      return listed(deal, deps);
    },
  );
}

/** No deal runs longer. */
const MAX_EXPIRING_MS = MAX_DEAL_DURATION_EPOCHS * EPOCH_SECONDS * 1_000;

/** The epoch that lies so far ahead of now. */
function endsBy(deps: DealDeps, expiring: string): number {
  const { genesisSeconds } = knownNetwork(deps);
  let waitMs: number;
  try {
    waitMs = parseDurationMs(expiring);
  } catch (cause) {
    throw new BadInput('INVALID_REQUEST', `expiring: '${expiring}' is not a time such as 45d`, { cause });
  }
  if (waitMs > MAX_EXPIRING_MS) throw new BadInput('INVALID_REQUEST', 'expiring: no deal runs longer than 1278d');
  return epochAt(genesisSeconds, new Date(deps.clock.now().getTime() + waitMs));
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
  return deal === undefined ? null : encodeCursor([deal.createdAt.getTime().toString(), deal.id]);
}

function parseCursor(cursor: string): { createdAt: Date; id: string } {
  const [at = '', id = ''] = decodeCursor(cursor, [/^\d{1,13}$/, new RegExp(UUID)]);
  return { createdAt: new Date(Number(at)), id };
}
