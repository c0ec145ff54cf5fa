import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB } from '../../db/tables.ts';
import { listUploadPlacements, type UploadPlacement } from '../../deals/status/placements.ts';
import { LadingError } from '../../errors.ts';
import { canonicalRoot } from '../answers/parse-cid.ts';
import { exactly, nullableText, problem } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

interface PlacementDeps {
  kysely: Kysely<DB>;
}

const placementSchema = exactly({
  aggregate: Type.String(),
  state: Type.Union([Type.Literal('open'), Type.Literal('sealing'), Type.Literal('sealed')]),
  pieceCid: nullableText,
  place: Type.Integer({ description: 'in the aggregate, from 1' }),
  part: Type.Union([exactly({ number: Type.Integer(), of: Type.Integer() }), Type.Null()], {
    description: 'of an upload that was cut; null: all of it lies there',
  }),
  offset: Type.Number(),
  length: Type.Number(),
  selector: nullableText,
  again: Type.Boolean({
    description: 'not its place of its own: it fills up a small aggregate, or is from before it was sent anew',
  }),
});

export function placementRoutes(server: Server, { kysely }: PlacementDeps): void {
  server.get(
    '/uploads/:cid/placements',
    {
      config: { access: ['upload', 'ops', 'read'], errors: ['INVALID_CID', 'NOT_FOUND'] },
      schema: {
        tags: ['uploads'],
        summary: 'The aggregates in which an upload lies',
        description: 'Newest first, with its bytes in the CAR of each; none while it waits. Up to 1,000.',
        params: exactly({ cid: Type.String() }),
        querystring: exactly({}),
        response: {
          200: exactly({ items: Type.Array(placementSchema), next: Type.Null() }),
          '4xx': problem,
          '5xx': problem,
        },
      },
    },
    async ({ params: { cid } }) => {
      const found = await listUploadPlacements(kysely, canonicalRoot(cid));
      if (found === undefined) throw new LadingError('NOT_FOUND', `there is no upload ${cid}`);
      return { items: found.map(placementAnswer), next: null };
    },
  );
}

function placementAnswer({ aggregateId, seq, cut, cuts, again, ...where }: UploadPlacement) {
  const part = cut === null ? null : { number: cut + 1, of: cuts };
  return { aggregate: aggregateId.toString(), place: seq + 1, part, again, ...where };
}
