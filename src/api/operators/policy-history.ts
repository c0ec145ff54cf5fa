import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB } from '../../db/tables.ts';
import { showPolicy } from '../../deals/propose/policy.ts';
import { listPolicyVersions, type PolicyVersion } from '../../deals/propose/policy-store.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import {
  decodeCursor,
  encodeCursor,
  exactly,
  nullableText,
  pageLimit,
  pageQuery,
  problem,
} from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

const versionSchema = exactly({
  version: Type.Integer(),
  terms: Type.Record(Type.String(), Type.String()),
  at: Type.String({ description: 'since when it was in force' }),
  by: Type.String({ description: 'who made it' }),
  reason: nullableText,
});

/** What the policy was, and who made it so. */
export function policyHistoryRoute(server: Server, { kysely }: { kysely: Kysely<DB> }): void {
  server.get(
    '/policy/history',
    {
      config: { access: ['ops', 'read'], errors: ['INVALID_CURSOR'] },
      schema: {
        tags: ['deals'],
        summary: 'All versions of the policy',
        description: 'The one in force first. Deals say by which version they were proposed.',
        querystring: exactly(pageQuery),
        response: {
          200: exactly({ items: Type.Array(versionSchema), next: nullableText }),
          '4xx': problem,
          '5xx': problem,
        },
      },
    },
    async ({ query }) => {
      const limit = pageLimit(query);
      const below = query.cursor === undefined ? undefined : Number(decodeCursor(query.cursor, [/^\d{1,9}$/]).join(''));
      const versions = await listPolicyVersions(kysely, { below, limit: limit + 1 });
      const last = versions.length > limit ? versions[limit - 1] : undefined;
      return {
        items: versions.slice(0, limit).map(versionAnswer),
        next: last === undefined ? null : encodeCursor([String(last.policy.version)]),
      };
    },
  );
}

function versionAnswer({ policy, at, by, reason }: PolicyVersion) {
  return { version: policy.version, terms: showPolicy(policy), at: formatOffsetTime(at, 'microseconds'), by, reason };
}
