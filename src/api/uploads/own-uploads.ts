import { Type } from 'typebox';
import { findOwnUpload, listOwnUploads, type OwnPlace, type OwnUpload } from '../../deals/status/own-uploads.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { BadInput, LadingError } from '../../errors.ts';
import { callerName } from '../door/auth.ts';
import { canonicalRoot } from '../answers/parse-cid.ts';
import { compatibleError, decodeCursor, encodeCursor, exactly } from '../answers/schemas.ts';
import { findStatusAnswer, statusAnswer, statusProperties, type StatusDeps } from './status-answer.ts';
import type { Server } from '../answers/typed-server.ts';

/** An upload as the token sees it that sent it. */
export const ownUploadSchema = exactly({
  cid: Type.String(),
  size: Type.Number({ description: 'Bytes of its blocks; 0 while some are missing.' }),
  created: Type.String({ description: 'When this token sent it first.' }),
  ...statusProperties,
});

/** As the nft.storage API. */
const DEFAULT_LIMIT = 10;
const MAX_LIMIT = 1_000;
/** RFC 3339, or the day alone, in UTC; from the year 1000 on, as PostgreSQL has no year 0. */
const TIME = /^([1-9]\d{3}-\d\d-\d\d)(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.(\d{1,6})\d*)?)?([Zz]|[+-]\d\d:\d\d))?$/;
const PLACE = [/^\d{4}-\d\d-\d\dT[\d:.]+\+00:00$/, /^\d{1,18}$/];

/** What `status` of the nft.storage client (npm, 7) calls, and the list that its API had beside. */
export function ownUploadRoutes(server: Server, deps: StatusDeps): void {
  statusRoute(server, deps);
  listRoute(server, deps);
}

function statusRoute(server: Server, deps: StatusDeps): void {
  server.get(
    '/:cid',
    {
      config: { access: ['upload'], compatible: true, errors: ['INVALID_CID', 'NFT_NOT_FOUND', 'NETWORK_UNKNOWN'] },
      schema: {
        summary: 'One of your uploads',
        description:
          'As `/check/{cid}`, with its size and since when it is yours. An upload that this token has not sent, or gave up, is not found. `status` of the nft.storage client calls this.',
        tags: ['uploads'],
        params: exactly({ cid: Type.String() }),
        querystring: exactly({}),
        response: {
          200: exactly({ ok: Type.Literal(true), value: ownUploadSchema }),
          '4xx': compatibleError,
          '5xx': compatibleError,
        },
      },
    },
    async (request) => {
      const { cid } = request.params;
      const value = await findOwnAnswer(deps, { cid, root: canonicalRoot(cid), owner: callerName(request) });
      if (value === undefined) throw new LadingError('NFT_NOT_FOUND', 'NFT not found');
      return { ok: true as const, value };
    },
  );
}

/** Undefined when this token name owns no such upload. */
export async function findOwnAnswer(
  deps: StatusDeps,
  { cid, root, owner }: { cid: string; root: string; owner: string },
) {
  const [own, status] = await Promise.all([findOwnUpload(deps.kysely, owner, root), findStatusAnswer(deps, root)]);
  return own && status && ownAnswer(cid, own, status);
}

export function ownAnswer(cid: string, { since }: Pick<OwnUpload, 'since'>, status: ReturnType<typeof statusAnswer>) {
  return { cid, size: status.pin.size, created: formatOffsetTime(since, 'microseconds'), ...status };
}

function listRoute(server: Server, deps: StatusDeps): void {
  server.get(
    '/',
    {
      config: { access: ['upload'], compatible: true, errors: ['INVALID_BEFORE', 'NETWORK_UNKNOWN'] },
      schema: {
        summary: 'List your uploads',
        description:
          'Those that this token sent and did not give up, the newest first. `before` is a time, as `created` of the last one of a page. Several may be of one time: the header `Link` of an answer names the next page exactly, and is missing on the last one.',
        tags: ['uploads'],
        querystring: exactly({
          before: Type.Optional(Type.String({ maxLength: 200, description: 'A time (RFC 3339), or from a `Link`.' })),
          limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_LIMIT, description: '10 when left out.' })),
        }),
        response: {
          200: exactly({ ok: Type.Literal(true), value: Type.Array(ownUploadSchema) }),
          '4xx': compatibleError,
          '5xx': compatibleError,
        },
      },
    },
    async (request, reply) => {
      const { before, limit = DEFAULT_LIMIT } = request.query;
      const page = { before: before === undefined ? undefined : parseBefore(before), limit: limit + 1 };
      const own = await listOwnUploads(deps.kysely, callerName(request), page);
      const shown = own.slice(0, limit);
      const last = shown.at(-1);
      if (own.length > limit && last !== undefined) reply.header('link', nextLink(last, limit));
      return { ok: true as const, value: await answersOf(deps, shown) };
    },
  );
}

async function answersOf(deps: StatusDeps, own: readonly OwnUpload[]) {
  const statuses = await deps.statuses.list(own.map(({ root }) => root));
  // One that was removed between the two queries is gone from the page too.
  return own.flatMap((upload) => {
    const status = statuses.get(upload.root);
    return status === undefined ? [] : [ownAnswer(upload.root, upload, statusAnswer(deps, status))];
  });
}

function nextLink({ since, id }: OwnUpload, limit: number): string {
  const before = encodeCursor([formatOffsetTime(since, 'microseconds'), id.toString()]);
  return `</?${new URLSearchParams({ before, limit: limit.toString() })}>; rel="next"`;
}

/** Pure. Throws `INVALID_BEFORE`. */
export function parseBefore(text: string): OwnPlace {
  // A plus sign that nobody escaped arrives as a space.
  const time = TIME.exec(text.replace(/ (?=\d\d:\d\d$)/, '+'));
  if (time === null) return parsePlace(text);
  const at = new Date(time[0].replace(/[Tt ]/, 'T').toUpperCase());
  // A zone may move it into the year 10000, which is written otherwise.
  if (Number.isNaN(at.getTime()) || at.getUTCFullYear() > 9_999) throw invalidBefore(text);
  // PostgreSQL's times are finer than a Date.
  const fraction = (time[2] ?? '').padEnd(6, '0');
  return { since: `${at.toISOString().slice(0, 19)}.${fraction}+00:00` };
}

function parsePlace(text: string): OwnPlace {
  try {
    const [since = '', id = ''] = decodeCursor(text, PLACE);
    if (Number.isNaN(Date.parse(since))) throw invalidBefore(text);
    return { since, id: BigInt(id) };
  } catch (cause) {
    throw invalidBefore(text, cause);
  }
}

function invalidBefore(text: string, cause?: unknown): BadInput {
  const message = `before=${text} is neither a time, such as 2030-01-31T00:00:00Z, nor from the Link of a page`;
  return new BadInput('INVALID_BEFORE', message, { cause });
}
