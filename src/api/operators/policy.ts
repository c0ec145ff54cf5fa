import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { showPolicy, type Policy } from '../../deals/propose/policy.ts';
import { findPolicy, replacePolicy } from '../../deals/propose/policy-store.ts';
import { BadInput } from '../../errors.ts';
import { actOf } from '../door/auth.ts';
import { MAX_REASON_CHARS } from './providers.ts';
import { exactly, problem } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

export interface PolicyDeps {
  kysely: Kysely<DB>;
  clock: Clock;
  /** Wakes what may go on under other terms; without it that waits for its next turn. */
  policyChanged?(): Promise<void>;
}

/** A policy has fewer terms than this. */
const MAX_TERMS = 50;
/** A list of a thousand providers is the longest. */
const MAX_TERM_CHARS = 25_000;

const policySchema = exactly({ version: Type.Integer(), terms: Type.Record(Type.String(), Type.String()) });

const changes = Type.Record(
  Type.String({ pattern: '^[a-z_]{1,40}$' }),
  Type.Union([Type.String({ maxLength: MAX_TERM_CHARS }), Type.Number(), Type.Boolean()]),
  {
    additionalProperties: false,
    minProperties: 1,
    maxProperties: MAX_TERMS,
    description: 'terms to change, by the names that GET /policy shows; and a reason',
  },
);

const ifMatch = Type.Object({
  'if-match': Type.Optional(Type.String({ description: 'only while this version is in force', examples: ['"7"'] })),
});

export function policyRoutes(server: Server, deps: PolicyDeps): void {
  const response = { 200: policySchema, '4xx': problem, '5xx': problem };
  const querystring = exactly({});
  const tags = ['deals'];
  const shown = { tags, summary: 'The policy of deals that is in force', querystring, response };
  server.get(
    '/policy',
    {
      config: { access: ['ops', 'read'] },
      schema: { ...shown, description: 'Its version, and its terms by the names that a change takes, each as text.' },
    },
    async () => policyAnswer(await findPolicy(deps.kysely)),
  );
  server.put(
    '/policy',
    {
      config: { access: ['ops'], errors: ['POLICY_INVALID', 'POLICY_CHANGED'] },
      schema: {
        tags,
        summary: 'Changes terms of the policy',
        description:
          'The other terms stay as they are. Each change is a new version, in force for what is proposed from then on, ' +
          'and wakes aggregates that are short of deals. With `If-Match: "7"` only while version 7 is in force. Audited.',
        body: changes,
        headers: ifMatch,
        querystring,
        response,
      },
    },
    async (request) => {
      const { reason, ...terms } = request.body;
      const pairs = Object.entries(terms).map(([name, value]) => `${name}=${value}`);
      if (pairs.length === 0) throw new BadInput('INVALID_REQUEST', 'give at least one term to change');
      const ifVersion = versionOf(request.headers['if-match']);
      const change = { pairs, ifVersion, at: deps.clock.now(), ...actOf(request, reasonOf(reason)) };
      const policy = await replacePolicy(deps.kysely, change);
      await deps.policyChanged?.();
      return policyAnswer(policy);
    },
  );
}

/** `reason` among the terms is none of them: it says why, for the audit. */
function reasonOf(given: string | number | boolean | undefined): string | undefined {
  if (given === undefined) return undefined;
  const text = String(given);
  if (text.length > MAX_REASON_CHARS)
    throw new BadInput('INVALID_REQUEST', `reason: give up to ${MAX_REASON_CHARS} characters`);
  return text;
}

/** `If-Match: "7"`: only while version 7 is in force. */
function versionOf(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === '*') return undefined;
  const version = /^\s*"?(\d{1,9})"?\s*$/.exec(header)?.[1];
  if (version === undefined) throw new BadInput('INVALID_REQUEST', 'If-Match: give the version of the policy, as "7"');
  return Number(version);
}

function policyAnswer(policy: Policy) {
  return { version: policy.version, terms: showPolicy(policy) };
}
