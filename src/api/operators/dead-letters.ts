import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { LadingError } from '../../errors.ts';
import { listDeadLetters, redriveByHand } from '../../events/dead-letter-store.ts';
import { actOf } from '../door/auth.ts';
import { anyDeadAnswer, anyDeadSchema } from '../events/webhook-answer.ts';
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
import { reasonBody } from './providers.ts';

export interface DeadLetterDeps {
  kysely: Kysely<DB>;
  clock: Clock;
}

const MAX_IDS = 1_000;
const webhook = Type.Optional(
  Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$', description: 'only those of this webhook' }),
);
const tags = ['events'];
const failures = { '4xx': problem, '5xx': problem };

/** Dead letters of all webhooks, whoever made them, for operators. Owners have those of their own at each webhook. */
export function deadLetterRoutes(server: Server, deps: DeadLetterDeps): void {
  server.get(
    '/dead-letters',
    {
      config: { access: ['ops', 'read'], errors: ['INVALID_CURSOR'] },
      schema: {
        tags,
        summary: 'List dead letters of all webhooks',
        description: 'Calls that receivers did not take in all the time that they were tried, oldest first.',
        querystring: exactly({ ...pageQuery, webhook }),
        response: { 200: exactly({ items: Type.Array(anyDeadSchema), next: nullableText }), ...failures },
      },
    },
    async ({ query }) => {
      const limit = pageLimit(query);
      const afterId = query.cursor === undefined ? 0n : BigInt(decodeCursor(query.cursor, [/^\d{1,18}$/]).join(''));
      const dead = await listDeadLetters(deps.kysely, { webhookId: query.webhook, afterId, limit: limit + 1 });
      const last = dead.length > limit ? dead[limit - 1] : undefined;
      const items = dead.slice(0, limit).map(anyDeadAnswer);
      return { items, next: last === undefined ? null : encodeCursor([last.id.toString()]) };
    },
  );
  redriveRoute(server, deps);
}

function redriveRoute(server: Server, deps: DeadLetterDeps): void {
  const ids = Type.Optional(
    Type.Array(Type.String({ pattern: '^[0-9]{1,18}$' }), {
      minItems: 1,
      maxItems: MAX_IDS,
      description: 'left out: all of the webhook, or of all webhooks',
    }),
  );
  server.post(
    '/dead-letters/redrive',
    {
      config: { access: ['ops'], errors: ['NOT_FOUND'] },
      schema: {
        tags,
        summary: 'Try dead letters of webhooks once more',
        description:
          'Beside the calls in order, which their receivers are sent at once too; one that is taken is a dead letter no more. Audited, with the reason that is given.',
        body: Type.Union([exactly({ ids, webhook, reason: reasonBody }), Type.Null()]),
        querystring: exactly({}),
        response: { 202: exactly({ redriven: Type.Integer() }), ...failures },
      },
    },
    async (request, reply) => {
      const { reason, webhook: webhookId, ids: texts } = request.body ?? {};
      const act = { ...actOf(request, reason), at: deps.clock.now() };
      const redriven = await redriveByHand(deps.kysely, { webhookId, ids: texts?.map(BigInt) }, act);
      if (redriven === 0 && texts !== undefined)
        throw new LadingError(
          'NOT_FOUND',
          'there are no dead letters with these ids: GET /dead-letters lists those there are',
        );
      return reply.code(202).send({ redriven });
    },
  );
}
