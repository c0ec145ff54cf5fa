import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { findProposing, setProposing } from '../../deals/propose/pause.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { actOf } from '../door/auth.ts';
import { exactly, nullableText, problem } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';
import { reasonBody } from './providers.ts';

export interface ProposingDeps {
  kysely: Kysely<DB>;
  clock: Clock;
  /** Called after proposing was resumed, so that aggregates that wait for it are looked at now. */
  policyChanged?(): Promise<void>;
}

const proposingSchema = exactly({
  proposing: Type.Boolean({ description: 'false: nothing new is proposed; deals in flight go on' }),
  since: Type.String({ description: 'when this began' }),
  by: Type.String({ description: 'who said so' }),
  reason: nullableText,
  policyVersion: Type.Integer({ description: 'the version of the policy that said so' }),
});
const tags = ['deals'];
const response = { 200: proposingSchema, '4xx': problem, '5xx': problem };

/** Proposing as a whole: a term of the policy, with a door of its own because it is wanted in a hurry. */
export function proposingRoutes(server: Server, deps: ProposingDeps): void {
  server.get(
    '/proposing',
    {
      config: { access: ['ops', 'read'] },
      schema: {
        tags,
        summary: 'Whether deals are proposed',
        description: 'Since when, and who said so and why.',
        querystring: exactly({}),
        response,
      },
    },
    () => answer(deps),
  );
  actRoute(server, deps, 'pause');
  actRoute(server, deps, 'resume');
}

function actRoute(server: Server, deps: ProposingDeps, act: 'pause' | 'resume'): void {
  server.post(
    `/proposing/${act}`,
    {
      config: { access: ['ops'] },
      schema: {
        tags,
        summary: act === 'pause' ? 'Proposes nothing new to anybody' : 'Proposes again',
        description:
          'A new version of the policy; deals in flight go on. Where it is so already nothing is changed. Audited, with the reason that is given.',
        body: Type.Union([exactly({ reason: reasonBody }), Type.Null()]),
        querystring: exactly({}),
        response,
      },
    },
    async (request) => {
      const by = { ...actOf(request, request.body?.reason), at: deps.clock.now() };
      const changed = await setProposing(deps.kysely, act === 'resume', by);
      if (changed && act === 'resume') await deps.policyChanged?.();
      return answer(deps);
    },
  );
}

async function answer({ kysely }: ProposingDeps) {
  const { since, ...found } = await findProposing(kysely);
  return { ...found, since: formatOffsetTime(since, 'microseconds') };
}
