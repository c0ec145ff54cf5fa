import { Type } from 'typebox';
import { LadingError } from '../../errors.ts';
import { canonicalRoot } from '../answers/parse-cid.ts';
import { compatibleError, exactly } from '../answers/schemas.ts';
import { findStatusAnswer, statusProperties, type StatusDeps } from './status-answer.ts';
import type { Server } from '../answers/typed-server.ts';

export interface CheckDeps extends StatusDeps {
  /** Whether `/check` answers without a token, as nft.storage did. */
  publicCheck: boolean;
}

export const checkedUpload = exactly({ cid: Type.String(), ...statusProperties });

const checkAnswer = exactly({ ok: Type.Literal(true), value: checkedUpload });

export function noUpload(): LadingError {
  return new LadingError('NFT_NOT_FOUND', 'NFT not found');
}

export function checkRoutes(server: Server, deps: CheckDeps): void {
  const access = deps.publicCheck ? ('public' as const) : (['upload', 'ops', 'read'] as const);
  server.get(
    '/check/:cid',
    {
      config: { access, compatible: true, errors: ['INVALID_CID', 'NFT_NOT_FOUND', 'NETWORK_UNKNOWN'] },
      schema: {
        summary: 'Where an upload is stored',
        description:
          'Its pin and its deals, the oldest change first; while it has none, why and until when. Anybody may ask, unless the configuration says otherwise. `check` of the nft.storage client calls this.',
        tags: ['status'],
        params: exactly({ cid: Type.String() }),
        querystring: exactly({}),
        response: { 200: checkAnswer, '4xx': compatibleError, '5xx': compatibleError },
      },
    },
    async ({ params: { cid } }) => {
      const status = await findStatusAnswer(deps, canonicalRoot(cid));
      if (status === undefined) throw noUpload();
      return { ok: true as const, value: { cid, ...status } };
    },
  );
}
