import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB } from '../db/tables.ts';
import type { Clock } from '../clock.ts';
import { listOutcomes } from '../deals/propose/facts-store.ts';
import type { OutcomeCount } from '../deals/propose/outcomes.ts';
import { actOnProvider, labelProvider, providerActs, type ProviderAct } from '../deals/providers/change-provider.ts';
import { findProvider, listProviders, type Provider } from '../deals/providers/provider-store.ts';
import { parseProviderId, type AddProvider } from '../deals/providers/providers.ts';
import { formatOffsetTime } from '../deals/status/time-format.ts';
import { LadingError } from '../errors.ts';
import { actOf } from './auth.ts';
import { exactly, nullableNumber, nullableText, problem } from './schemas.ts';
import type { Server } from './typed-server.ts';

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

const providerSchema = exactly({
  id: Type.String(),
  state: Type.String(),
  addressSource: Type.String(),
  peerId: nullableText,
  multiaddrs: Type.Array(Type.String()),
  sectorSize: nullableNumber,
  owner: nullableText,
  added: Type.String(),
  resolved: nullableText,
  resolveError: nullableText,
  retryAt: nullableText,
  failures: Type.Integer(),
  org: nullableText,
  region: nullableText,
  agent: nullableText,
  seen: nullableText,
  transport: nullableText,
  transportSeen: nullableText,
  ask: Type.Union([
    exactly({
      price: Type.String(),
      verifiedPrice: Type.String(),
      minPieceSize: Type.Number(),
      maxPieceSize: Type.Number(),
      asked: Type.String(),
    }),
    Type.Null(),
  ]),
});

/** How its deals of the last half year went, by state and reason code. */
const outcomeSchema = exactly({
  state: Type.String(),
  reasonCode: nullableText,
  count: Type.Integer(),
  last: Type.String(),
});
const shownSchema = exactly({ ...providerSchema.properties, outcomes: Type.Array(outcomeSchema) });

/** Why, in the caller's words: for the audit. */
export const MAX_REASON_CHARS = 500;
export const reasonBody = Type.Optional(Type.String({ maxLength: MAX_REASON_CHARS }));
const label = Type.Optional(Type.String({ maxLength: 64 }));

const providerId = Type.String({ pattern: '^[ft]0[0-9]{1,18}$', description: 'f01234, as on chain' });
const ops = { access: ['ops'] } as const;
const answers = { 200: providerSchema, '4xx': problem, '5xx': problem };

export function providerRoutes(server: Server, deps: ProviderDeps): void {
  server.get(
    '/providers',
    {
      config: { access: ['ops', 'read'] },
      schema: {
        querystring: exactly({}),
        response: {
          200: exactly({ items: Type.Array(providerSchema), next: Type.Null() }),
          '4xx': problem,
          '5xx': problem,
        },
      },
    },
    async () => ({ items: (await listProviders(deps.kysely)).map(providerAnswer), next: null }),
  );
  showRoute(server, deps);
  addRoute(server, deps);
  labelRoute(server, deps);
  for (const act of Object.keys(providerActs) as ProviderAct[]) actRoute(server, deps, act);
}

function showRoute(server: Server, deps: ProviderDeps): void {
  server.get(
    '/providers/:id',
    {
      config: { access: ['ops', 'read'] },
      schema: {
        params: exactly({ id: providerId }),
        querystring: exactly({}),
        response: { ...answers, 200: shownSchema },
      },
    },
    async ({ params }) => {
      const id = parseProviderId(params.id);
      const found = known(id, await findProvider(deps.kysely, id));
      const outcomes = await listOutcomes(deps.kysely, deps.clock.now(), id);
      return { ...providerAnswer(found), outcomes: outcomes.map(outcomeAnswer) };
    },
  );
}

function actRoute(server: Server, deps: ProviderDeps, act: ProviderAct): void {
  const body = Type.Union([exactly({ reason: reasonBody }), Type.Null()]);
  server.post(
    `/providers/:id/${act}`,
    { config: ops, schema: { params: exactly({ id: providerId }), body, querystring: exactly({}), response: answers } },
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
    { config: ops, schema: { params: exactly({ id: providerId }), body, querystring: exactly({}), response: answers } },
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
    { config: ops, schema: { body, querystring: exactly({}), response: answers } },
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

function outcomeAnswer({ state, reasonCode, count, lastAt }: OutcomeCount) {
  return { state, reasonCode: reasonCode ?? null, count, last: formatOffsetTime(lastAt, 'microseconds') };
}

function providerAnswer(from: Provider) {
  const time = (at: Date | undefined) => (at === undefined ? null : formatOffsetTime(at, 'microseconds'));
  return {
    id: from.id,
    state: from.state,
    addressSource: from.addressSource,
    peerId: from.peerId ?? null,
    multiaddrs: from.multiaddrs,
    sectorSize: from.sectorBytes === undefined ? null : Number(from.sectorBytes),
    owner: from.ownerId ?? null,
    added: formatOffsetTime(from.addedAt, 'microseconds'),
    resolved: time(from.resolvedAt),
    resolveError: from.resolveError ?? null,
    retryAt: time(from.retryAt),
    failures: from.failures,
    org: from.org ?? null,
    region: from.region ?? null,
    agent: from.agent ?? null,
    seen: time(from.seenAt),
    transport: from.transport ?? null,
    transportSeen: time(from.transportAt),
    ask: askAnswer(from.ask),
  };
}

function askAnswer(ask: Provider['ask']) {
  if (ask === undefined) return null;
  return {
    price: ask.price.toString(),
    verifiedPrice: ask.verifiedPrice.toString(),
    minPieceSize: Number(ask.minPieceBytes),
    maxPieceSize: Number(ask.maxPieceBytes),
    asked: formatOffsetTime(ask.at, 'microseconds'),
  };
}
