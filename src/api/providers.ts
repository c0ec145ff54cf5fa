import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB } from '../db/tables.ts';
import { findProvider, listProviders, setProviderState, type Provider } from '../deals/providers/provider-store.ts';
import { parseProviderId, type AddProvider } from '../deals/providers/providers.ts';
import { formatOffsetTime } from '../deals/status/time-format.ts';
import { LadingError } from '../errors.ts';
import { exactly, nullableNumber, nullableText, problem } from './schemas.ts';
import type { Server } from './typed-server.ts';

export interface ProviderDeps {
  kysely: Kysely<DB>;
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
});

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
  addRoute(server, deps);
  for (const [action, state] of actions) {
    server.post(
      `/providers/:id/${action}`,
      { config: ops, schema: { params: exactly({ id: providerId }), querystring: exactly({}), response: answers } },
      async ({ params }) => {
        const id = parseProviderId(params.id);
        if (!(await setProviderState(deps.kysely, id, state)))
          throw new LadingError('NOT_FOUND', `there is no provider ${id}`);
        if (state === 'enabled') await deps.providersChanged?.();
        return providerAnswer(await provider(deps, id));
      },
    );
  }
}

const actions = [
  ['pause', 'paused'],
  ['resume', 'enabled'],
  ['remove', 'removed'],
] as const;

function addRoute(server: Server, deps: ProviderDeps): void {
  const body = exactly({
    id: providerId,
    peerId: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    multiaddrs: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 512 }), { minItems: 1, maxItems: MAX_MULTIADDRS }),
    ),
  });
  server.post(
    '/providers',
    { config: ops, schema: { body, querystring: exactly({}), response: answers } },
    async ({ body: given }) => {
      const added = await deps.addProvider(given);
      await deps.providersChanged?.();
      return providerAnswer(added);
    },
  );
}

async function provider({ kysely }: ProviderDeps, id: string): Promise<Provider> {
  const found = await findProvider(kysely, id);
  if (found === undefined) throw new LadingError('NOT_FOUND', `there is no provider ${id}`);
  return found;
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
  };
}
