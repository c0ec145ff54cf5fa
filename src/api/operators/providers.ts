import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB } from '../../db/tables.ts';
import type { Clock } from '../../clock.ts';
import { actOnProvider, labelProvider, providerActs, type ProviderAct } from '../../deals/providers/change-provider.ts';
import { countProviders, findProvider, listProviderPage, type Provider } from '../../deals/providers/provider-store.ts';
import { parseProviderId, type AddProvider } from '../../deals/providers/providers.ts';
import { listStandings } from '../../deals/providers/standing.ts';
import { LadingError } from '../../errors.ts';
import { actOf } from '../door/auth.ts';
import { listOf, listPage, listQuery } from '../answers/list-page.ts';
import {
  outcomeAnswer,
  providerAnswer,
  providerSchema,
  rankedAnswer,
  rankedSchema,
  shownSchema,
} from './provider-answer.ts';
import { decodeCursor, exactly, problem } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

export interface ProviderDeps {
  kysely: Kysely<DB>;
  clock: Clock;
  /** deals/providers.ts `addProvider`, with its dependencies given. */
  addProvider(given: AddProvider): Promise<Provider>;
  /** Called after a provider was added or resumed, so that aggregates that wait for one are looked at now. */
  providersChanged?(): Promise<void>;
}

/** Providers announce a handful; more is a mistake. */
const MAX_MULTIADDRS = 20;

/** Why, in the caller's words: for the audit. */
export const MAX_REASON_CHARS = 500;
export const reasonBody = Type.Optional(Type.String({ maxLength: MAX_REASON_CHARS }));
const label = Type.Optional(Type.String({ maxLength: 64 }));
const name = Type.Optional(Type.String({ maxLength: 64, pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$' }));
const listedState = Type.Union([Type.Literal('enabled'), Type.Literal('paused'), Type.Literal('removed')], {
  description: 'without it: all that are not removed',
});

const providerId = Type.String({ pattern: '^[ft]0[0-9]{1,18}$', description: 'f01234, as on chain' });
const errors = ['PROVIDER_INVALID', 'NOT_FOUND'] as const;
const ops = { access: ['ops'], errors } as const;
const answers = { 200: providerSchema, '4xx': problem, '5xx': problem };

export function providerRoutes(server: Server, deps: ProviderDeps): void {
  server.get(
    '/providers',
    {
      config: { access: ['ops', 'read'], errors: ['INVALID_CURSOR'] },
      schema: {
        tags: ['providers'],
        summary: 'All providers, in the order of their ids as text',
        description:
          'Those that were removed are listed when they are asked for. `standing` is what the next choice would go by.',
        querystring: exactly({ ...listQuery, state: Type.Optional(listedState), org: name, region: name }),
        response: { 200: listOf(rankedSchema), '4xx': problem, '5xx': problem },
      },
    },
    async ({ query }) => {
      const { state: inState, org, region, cursor } = query;
      const filter = { state: inState, org, region };
      const afterId = cursor === undefined ? undefined : decodeCursor(cursor, [/^f0\d{1,18}$/]).join('');
      return listPage(query, {
        read: async (limit) => withStandings(deps, await listProviderPage(deps.kysely, filter, { afterId, limit })),
        place: ({ provider }) => [provider.id],
        answer: ({ provider, standing }) => rankedAnswer(provider, standing),
        count: () => countProviders(deps.kysely, filter),
      });
    },
  );
  showRoute(server, deps);
  addRoute(server, deps);
  labelRoute(server, deps);
  for (const act of Object.keys(providerActs) as ProviderAct[]) actRoute(server, deps, act);
}

async function withStandings({ kysely, clock }: ProviderDeps, providers: readonly Provider[]) {
  const standings = await listStandings(kysely, providers, clock.now());
  return providers.map((provider) => ({ provider, standing: standings.get(provider.id) ?? unranked(provider.id) }));
}

function unranked(id: string): never {
  throw new Error(`provider ${id} was read without its standing`);
}

function showRoute(server: Server, deps: ProviderDeps): void {
  server.get(
    '/providers/:id',
    {
      config: { access: ['ops', 'read'], errors },
      schema: {
        tags: ['providers'],
        summary: 'A provider, and how its deals went',
        description: 'As the list has it, with the outcomes of the last half year by state and reason.',
        params: exactly({ id: providerId }),
        querystring: exactly({}),
        response: { ...answers, 200: shownSchema },
      },
    },
    async ({ params }) => {
      const id = parseProviderId(params.id);
      const found = known(id, await findProvider(deps.kysely, id));
      const standing = (await listStandings(deps.kysely, [found], deps.clock.now())).get(id) ?? unranked(id);
      return { ...rankedAnswer(found, standing), outcomes: standing.outcomes.map(outcomeAnswer) };
    },
  );
}

const actSummaries: Record<ProviderAct, string> = {
  pause: 'Proposes nothing new to a provider',
  resume: 'Proposes to a provider again',
  remove: 'Takes a provider off the list',
};

function actRoute(server: Server, deps: ProviderDeps, act: ProviderAct): void {
  const body = Type.Union([exactly({ reason: reasonBody }), Type.Null()]);
  server.post(
    `/providers/:id/${act}`,
    {
      config: ops,
      schema: {
        tags: ['providers'],
        summary: actSummaries[act],
        description: 'Deals in flight go on. Audited, with the reason that is given.',
        params: exactly({ id: providerId }),
        body,
        querystring: exactly({}),
        response: answers,
      },
    },
    async (request) => {
      const id = parseProviderId(request.params.id);
      const given = { act, ...actOf(request, request.body?.reason) };
      const changed = known(id, await actOnProvider({ db: deps.kysely, clock: deps.clock }, id, given));
      if (act === 'resume') await deps.providersChanged?.();
      return providerAnswer(changed);
    },
  );
}

/** `PATCH /providers/{id}`: its labels; an empty one is taken away. */
function labelRoute(server: Server, deps: ProviderDeps): void {
  const body = exactly({ org: label, region: label, reason: reasonBody });
  server.patch(
    '/providers/:id',
    {
      config: ops,
      schema: {
        tags: ['providers'],
        summary: 'Says who runs a provider, and where',
        description: 'For the caps of the policy. An empty text takes a label away. Audited.',
        params: exactly({ id: providerId }),
        body,
        querystring: exactly({}),
        response: answers,
      },
    },
    async (request) => {
      const id = parseProviderId(request.params.id);
      const { reason, ...labels } = request.body;
      const given = { labels, ...actOf(request, reason) };
      return providerAnswer(known(id, await labelProvider({ db: deps.kysely, clock: deps.clock }, id, given)));
    },
  );
}

function addRoute(server: Server, deps: ProviderDeps): void {
  const body = exactly({
    id: providerId,
    peerId: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    multiaddrs: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 512 }), { minItems: 1, maxItems: MAX_MULTIADDRS }),
    ),
    org: label,
    region: label,
    reason: reasonBody,
  });
  server.post(
    '/providers',
    {
      config: { access: ['ops'], errors: ['PROVIDER_INVALID'] },
      schema: {
        tags: ['providers'],
        summary: 'Adds a provider, or enables it again',
        description: 'Where no addresses are given those on chain are read. Audited.',
        body,
        querystring: exactly({}),
        response: answers,
      },
    },
    async (request) => {
      const { reason, ...given } = request.body;
      const added = await deps.addProvider({ ...given, act: actOf(request, reason) });
      await deps.providersChanged?.();
      return providerAnswer(added);
    },
  );
}

function known(id: string, found: Provider | undefined): Provider {
  if (found === undefined) throw new LadingError('NOT_FOUND', `there is no provider ${id}`);
  return found;
}
