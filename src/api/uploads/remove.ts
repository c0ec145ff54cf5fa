import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import { endOwnership } from '../../aggregate/keep/remove-upload.ts';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { LadingError } from '../../errors.ts';
import type { Log } from '../../log/log.ts';
import { callerName } from '../door/auth.ts';
import { canonicalRoot } from '../answers/parse-cid.ts';
import { compatibleError, exactly } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

export interface RemoveDeps {
  kysely: Kysely<DB>;
  clock: Clock;
  log: Log;
}

/**
 * What the `delete` of the nft.storage client (npm, 7.2) calls, with a slash at the end of the path. Of any answer but 429 it
 * reads JSON: `ok` means done, else it throws `error.message`. The caller gives up an upload; what lies
 * in an aggregate stays there, for others' uploads lie in the same piece.
 */
export function removeRoutes(server: Server, deps: RemoveDeps): void {
  server.delete(
    '/:cid',
    {
      config: { access: ['upload'], compatible: true, errors: ['INVALID_CID', 'NFT_NOT_FOUND'] },
      schema: {
        summary: 'Give up an upload',
        description:
          'Ends the ownership of this token. An upload that nobody owns is removed, unless it lies in an aggregate already: it stays there, and its deals are not renewed once nobody owns anything in it. `delete` of the nft.storage client calls this.',
        tags: ['uploads'],
        params: exactly({ cid: Type.String() }),
        querystring: exactly({}),
        response: {
          202: exactly({ ok: Type.Literal(true), value: Type.Null() }),
          '4xx': compatibleError,
          '5xx': compatibleError,
        },
      },
    },
    async (request, reply) => {
      const owner = callerName(request);
      const ended = await endOwnership(deps, { root: canonicalRoot(request.params.cid), owner });
      if (ended === 'not_owned') throw new LadingError('NFT_NOT_FOUND', 'NFT not found');
      return reply.code(202).send({ ok: true as const, value: null });
    },
  );
}
