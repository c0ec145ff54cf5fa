import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB } from '../../db/tables.ts';
import { listChoices, type StoredChoice } from '../../deals/propose/choice-store.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { namedAggregate } from './aggregate-inside.ts';
import { exactly, pageLimit, problem } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

export interface ChoiceDeps {
  kysely: Kysely<DB>;
}

/** Each holds up to a hundred refusals. */
const MAX_CHOICES = 100;

export const choiceSchema = exactly({
  at: Type.String(),
  policyVersion: Type.Integer(),
  chosen: Type.Array(
    exactly({
      slot: Type.Integer(),
      generation: Type.Integer(),
      renews: Type.Optional(Type.String()),
      provider: Type.String(),
      score: Type.Number(),
      reasons: Type.Array(Type.String()),
    }),
  ),
  refused: Type.Array(exactly({ provider: Type.String(), code: Type.String(), reason: Type.String() })),
});

export function choiceAnswer({ at, ...choice }: StoredChoice) {
  return { at: formatOffsetTime(at, 'microseconds'), ...choice };
}

export function choiceRoutes(server: Server, { kysely }: ChoiceDeps): void {
  server.get(
    '/aggregates/:pieceCid/choices',
    {
      config: { access: ['ops', 'read'], errors: ['INVALID_CID', 'NOT_FOUND'] },
      schema: {
        tags: ['aggregates'],
        summary: 'Why these providers were chosen',
        description:
          'The decisions about an aggregate, newest first: who was chosen with which score and reasons, who was not and why. The aggregate is named by its piece CID or its number.',
        params: exactly({ pieceCid: Type.String() }),
        querystring: exactly({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_CHOICES })) }),
        response: {
          200: exactly({ items: Type.Array(choiceSchema), next: Type.Null() }),
          '4xx': problem,
          '5xx': problem,
        },
      },
    },
    async ({ params, query }) => {
      const id = await namedAggregate(kysely, params.pieceCid);
      const limit = Math.min(pageLimit(query), MAX_CHOICES);
      return { items: (await listChoices(kysely, id, { limit })).map(choiceAnswer), next: null };
    },
  );
}
