import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB } from '../../db/tables.ts';
import { listAudit } from '../../deals/audit.ts';
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

export interface AuditDeps {
  kysely: Kysely<DB>;
}

const entrySchema = exactly({
  at: Type.String(),
  actor: Type.String(),
  action: Type.String(),
  subject: Type.String(),
  reason: nullableText,
  detail: Type.Unknown(),
});

export function auditRoutes(server: Server, { kysely }: AuditDeps): void {
  server.get(
    '/audit',
    {
      config: { access: ['ops'], errors: ['INVALID_CURSOR'] },
      schema: {
        tags: ['tokens'],
        summary: 'What operators did',
        description: 'Every action, newest first: who did what to what, when, and why in their words.',
        querystring: exactly({
          ...pageQuery,
          subject: Type.Optional(Type.String({ maxLength: 200, pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$' })),
        }),
        response: {
          200: exactly({ items: Type.Array(entrySchema), next: nullableText }),
          '4xx': problem,
          '5xx': problem,
        },
      },
    },
    async ({ query }) => {
      const limit = pageLimit(query);
      const { cursor, subject } = query;
      const rows = await listAudit(kysely, {
        limit,
        ...(cursor !== undefined && { beforeId: BigInt(decodeCursor(cursor, [/^\d{1,18}$/]).join('')) }),
        ...(subject !== undefined && { subject }),
      });
      const last = rows.length < limit ? undefined : rows.at(-1);
      return {
        items: rows.map(({ id: _id, at, ...entry }) => ({ at: formatOffsetTime(at, 'microseconds'), ...entry })),
        next: last === undefined ? null : encodeCursor([last.id.toString()]),
      };
    },
  );
}
