import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { Clock } from '../../clock.ts';
import type { DB, DealState } from '../../db/tables.ts';
import { abandonDeal, retryDeal } from '../../deals/act-on-deal.ts';
import { findDealDetail } from '../../deals/status/deal-detail.ts';
import {
  countDeals,
  findDeal,
  listDeals,
  type DealEvent,
  type DealFilter,
  type ListedDeal,
} from '../../deals/status/deal-list.ts';
import { dealObject, type DealNetwork } from '../../deals/status/deal-object.ts';
import { parseProviderId } from '../../deals/providers/providers.ts';
import { dealStates } from '../../deals/deal-states.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { BadInput, LadingError } from '../../errors.ts';
import { epochAt } from '../../filecoin/epoch.ts';
import { MAX_DEAL_DURATION_EPOCHS } from '../../filecoin/limits.ts';
import { EPOCH_SECONDS } from '../../filecoin/networks.ts';
import { parseDurationMs } from '../../filecoin/units.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import { actOf } from '../door/auth.ts';
import { choiceAnswer, choiceSchema } from './choices.ts';
import { termsAnswer, termsSchema } from './deal-terms.ts';
import { deliveryAnswer, deliverySchema } from '../uploads/delivery-answer.ts';
import { listOf, listPage, listQuery } from '../answers/list-page.ts';
import { reasonBody } from './providers.ts';
import { decodeCursor, exactly, nullableNumber, nullableText, problem } from '../answers/schemas.ts';
import { dealSchema, knownNetwork } from '../uploads/status-answer.ts';
import type { Server } from '../answers/typed-server.ts';

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

const filters = {
  state: Type.Optional(Type.Union(dealStates.map((state) => Type.Literal(state)))),
  provider: Type.Optional(Type.String({ pattern: '^[ft]0[0-9]{1,18}$' })),
  aggregate: Type.Optional(Type.String({ pattern: '^[0-9]{1,18}$', description: 'the id of its aggregate' })),
  expiring: Type.Optional(
    Type.String({ maxLength: 20, description: 'active deals that end within this time, such as 45d' }),
  ),
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
      config: { access, errors: ['INVALID_CURSOR', 'PROVIDER_INVALID', 'NETWORK_UNKNOWN'] },
      schema: {
        tags: ['deals'],
        summary: 'Deals in every state, newest first',
        description: 'Proposals that came to nothing too: they are `terminated`, with the refusal as their text.',
        querystring: exactly({ ...listQuery, ...filters }),
        response: { 200: listOf(exactly(listedProperties)), '4xx': problem, '5xx': problem },
      },
    },
    async ({ query }) => {
      const filter = filterOf(deps, query);
      const after = query.cursor === undefined ? undefined : parseCursor(query.cursor);
      return listPage(query, {
        read: (limit) => listDeals(deps.kysely, filter, { after, limit }),
        place: ({ age, id }) => [age.toString(), id],
        answer: (deal) => listed(deal, deps),
        count: () => countDeals(deps.kysely, filter),
      });
    },
  );
}

interface FilterQuery {
  state?: DealState;
  provider?: string;
  aggregate?: string;
  expiring?: string;
}

function filterOf(deps: DealDeps, { state, provider, aggregate, expiring }: FilterQuery): DealFilter {
  return {
    state,
    provider: provider === undefined ? undefined : parseProviderId(provider),
    aggregateId: aggregate === undefined ? undefined : BigInt(aggregate),
    endsBy: expiring === undefined ? undefined : endsBy(deps, expiring),
  };
}

function showRoute(server: Server, deps: DealDeps): void {
  server.get(
    '/deals/:id',
    {
      config: { access, errors: ['NOT_FOUND', 'NETWORK_UNKNOWN'] },
      schema: {
        tags: ['deals'],
        summary: 'A deal with all that happened to it',
        description:
          'As the list has it, with its terms and events, the newest choices for its aggregate, and how its transfer goes.',
        params: exactly({ id: Type.String({ pattern: UUID }) }),
        querystring: exactly({}),
        response: {
          200: exactly({
            ...listedProperties,
            events: Type.Array(eventSchema),
            choices: Type.Array(choiceSchema),
            delivery: deliverySchema,
            terms: termsSchema,
          }),
          '4xx': problem,
          '5xx': problem,
        },
      },
    },
    async ({ params: { id } }) => {
      const found = await findDealDetail(deps.kysely, id);
      if (found === undefined) throw noDeal(id);
      const { events, choices, delivery, terms, ...deal } = found;
      return {
        ...listed(deal, deps),
        events: events.map(eventAnswer),
        choices: choices.map(choiceAnswer),
        delivery: deliveryAnswer(delivery, { state: deal.state, now: deps.clock.now() }),
        terms: termsAnswer(terms),
      };
    },
  );
}

function noDeal(id: string): LadingError {
  return new LadingError('NOT_FOUND', `there is no deal ${id}`);
}

function actRoute(
  server: Server,
  deps: DealDeps,
  { path, act }: { path: 'retry' | 'abandon'; act: typeof retryDeal },
): void {
  server.post(
    `/deals/:id/${path}`,
    {
      config: { access: ['ops'], errors: ['NOT_FOUND', 'DEAL_NOT_OPEN', 'NETWORK_UNKNOWN'] },
      schema: {
        tags: ['deals'],
        summary: path === 'retry' ? 'Tries a deal again now' : 'Gives a deal up that is not on chain',
        description: 'Audited, with the reason that is given.',
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
      if (deal === undefined) throw noDeal(id);
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

function parseCursor(cursor: string) {
  const [age = '', id = ''] = decodeCursor(cursor, [/^-?\d{1,17}$/, new RegExp(UUID)]);
  return { age: BigInt(age), id };
}
