import { Type, type Static } from 'typebox';
import { BadInput, type LadingError } from '../../errors.ts';
import { checkedUpload, noUpload, type CheckDeps } from './check.ts';
import { compatibleCode } from '../answers/error-codes.ts';
import { canonicalRoot } from '../answers/parse-cid.ts';
import { compatibleError, exactly } from '../answers/schemas.ts';
import { statusAnswer } from './status-answer.ts';
import type { Server } from '../answers/typed-server.ts';

/** One query answers them in some tens of milliseconds, and the answer is some megabytes. */
const MAX_CIDS = 1_000;
/** A CID has at most 1,024 characters. */
const MAX_BODY_BYTES = MAX_CIDS * 1_100;

const failedItem = exactly({ cid: Type.String(), error: compatibleError.properties.error });

const manyAnswer = exactly({
  ok: Type.Literal(true),
  value: Type.Array(Type.Union([checkedUpload, failedItem]), {
    description:
      'One item for each CID, in the order of the request, repetitions too: the value that GET /check/{cid} gives, or the error that it would give.',
  }),
});

type Item = Static<typeof checkedUpload> | Static<typeof failedItem>;

/** `POST /check`: many uploads by one query. What is unknown or no CID is said of that item, and fails no other. */
export function checkManyRoute(server: Server, deps: CheckDeps): void {
  server.post(
    '/check',
    {
      config: { access: ['upload', 'ops', 'read'], compatible: true, errors: ['NETWORK_UNKNOWN'] },
      bodyLimit: MAX_BODY_BYTES,
      schema: {
        tags: ['status'],
        summary: 'Where many uploads are, asked at once',
        description: `Up to ${MAX_CIDS} CIDs, of either version. An item that cannot be answered holds an error in place of its status.`,
        querystring: exactly({}),
        body: exactly({ cids: Type.Array(Type.String(), { maxItems: MAX_CIDS }) }),
        response: { 200: manyAnswer, '4xx': compatibleError, '5xx': compatibleError },
      },
    },
    async ({ body }) => ({ ok: true as const, value: await checkMany(deps, body.cids) }),
  );
}

async function checkMany(deps: CheckDeps, cids: readonly string[]): Promise<Item[]> {
  const asked = cids.map((cid) => ({ cid, root: rootOrFault(cid) }));
  const roots = asked.flatMap(({ root }) => (typeof root === 'string' ? root : []));
  const statuses = await deps.statuses.list([...new Set(roots)]);
  return asked.map(({ cid, root }) => {
    if (typeof root !== 'string') return { cid, error: errorOf(root) };
    const status = statuses.get(root);
    return status === undefined ? { cid, error: errorOf(noUpload()) } : { cid, ...statusAnswer(deps, status) };
  });
}

function rootOrFault(cid: string): string | LadingError {
  try {
    return canonicalRoot(cid);
  } catch (error) {
    if (error instanceof BadInput) return error;
    throw error;
  }
}

function errorOf({ code, message }: LadingError) {
  return { code: compatibleCode(code), message };
}
