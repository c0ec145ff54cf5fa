import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB } from '../../db/tables.ts';
import { listManifest, toCsv } from '../../deals/send/manifest.ts';
import type { PieceTokens } from '../../deals/send/piece-token.ts';
import { exactly, problem } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

export interface ManifestDeps {
  kysely: Kysely<DB>;
  pieceTokens: PieceTokens;
  /** Where providers reach us; undefined: where the caller does. */
  publicUrl?: string | undefined;
}

const entrySchema = exactly({
  dealUuid: Type.String(),
  provider: Type.String(),
  proposalCid: Type.String(),
  pieceCid: Type.String(),
  pieceSize: Type.Integer(),
  carSize: Type.Integer(),
  startEpoch: Type.Integer(),
  url: Type.String(),
  authorization: Type.String(),
});

/** Offline deals for a provider to import by hand. With tokens in it, this is for operators alone. */
export function manifestRoutes(server: Server, deps: ManifestDeps): void {
  server.get(
    '/deals/manifest',
    {
      config: { access: ['ops'] },
      schema: {
        tags: ['deals'],
        summary: 'Offline deals to import by hand',
        description:
          'Deals that wait for their provider to import them, with the URL and the token of each piece: as JSON, or as CSV for a spreadsheet.',
        querystring: exactly({
          provider: Type.Optional(Type.String({ pattern: '^f0[0-9]+$' })),
          format: Type.Optional(Type.Union([Type.Literal('csv'), Type.Literal('json')])),
        }),
        response: {
          200: {
            content: { 'application/json': { schema: Type.Array(entrySchema) }, 'text/csv': { schema: Type.String() } },
          },
          '4xx': problem,
          '5xx': problem,
        },
      },
    },
    async (request, reply) => {
      const { provider, format = 'json' } = request.query;
      const publicUrl = deps.publicUrl ?? `${request.protocol}://${request.host}`;
      const entries = await listManifest(deps.kysely, { pieceTokens: deps.pieceTokens, publicUrl }, provider);
      reply.header('cache-control', 'no-store');
      if (format === 'json') return reply.type('application/json').send(entries);
      reply.header('content-disposition', `attachment; filename="offline-deals.csv"`);
      return reply.type('text/csv; charset=utf-8').serializer(String).send(toCsv(entries));
    },
  );
}
