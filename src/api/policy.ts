import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { Clock } from '../clock.ts';
import type { DB } from '../db/tables.ts';
import { changePolicy, showPolicy, type Policy } from '../deals/propose/policy.ts';
import { findPolicy, insertPolicy } from '../deals/propose/policy-store.ts';
import { callerName } from './auth.ts';
import { exactly, problem } from './schemas.ts';
import type { Server } from './typed-server.ts';

export interface PolicyDeps {
  kysely: Kysely<DB>;
  clock: Clock;
}

/** A policy has fewer terms than this. */
const MAX_TERMS = 50;

const policySchema = exactly({ version: Type.Integer(), terms: Type.Record(Type.String(), Type.String()) });

const changes = Type.Record(
  Type.String({ pattern: '^[a-z_]{1,40}$' }),
  Type.Union([Type.String({ maxLength: 100 }), Type.Number(), Type.Boolean()]),
  { minProperties: 1, maxProperties: MAX_TERMS, description: 'terms to change, by the names that GET /policy shows' },
);

export function policyRoutes(server: Server, deps: PolicyDeps): void {
  const response = { 200: policySchema, '4xx': problem, '5xx': problem };
  const querystring = exactly({});
  server.get('/policy', { config: { access: ['ops', 'read'] }, schema: { querystring, response } }, async () =>
    policyAnswer(await findPolicy(deps.kysely)),
  );
  server.put(
    '/policy',
    { config: { access: ['ops'] }, schema: { body: changes, querystring, response } },
    async (request) => {
      const pairs = Object.entries(request.body).map(([name, value]) => `${name}=${value}`);
      const made = { at: deps.clock.now(), by: callerName(request) };
      const policy = await deps.kysely.transaction().execute(async (trx) => {
        const terms = changePolicy(await findPolicy(trx), pairs);
        return insertPolicy(trx, terms, made);
      });
      return policyAnswer(policy);
    },
  );
}

function policyAnswer(policy: Policy) {
  return { version: policy.version, terms: showPolicy(policy) };
}
