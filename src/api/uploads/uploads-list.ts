import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB } from '../../db/tables.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import {
  countUploads,
  findListedUpload,
  listUploads,
  type ListedUpload,
  type UploadFilter,
} from '../../deals/status/upload-list.ts';
import { LadingError } from '../../errors.ts';
import { checkedUpload } from './check.ts';
import { listOf, listPage, listQuery, parseTime, timeFilter } from '../answers/list-page.ts';
import { canonicalRoot } from '../answers/parse-cid.ts';
import { decodeCursor, exactly, problem } from '../answers/schemas.ts';
import { ownerOf } from '../events/event-place.ts';
import { statusAnswer, type StatusDeps } from './status-answer.ts';
import type { Server } from '../answers/typed-server.ts';

export interface UploadListDeps extends StatusDeps {
  kysely: Kysely<DB>;
}

const state = Type.Union([
  Type.Literal('incomplete'),
  Type.Literal('waiting'),
  Type.Literal('stowed'),
  Type.Literal('failed'),
  Type.Literal('removed'),
]);

const uploadSchema = exactly({
  ...checkedUpload.properties,
  state,
  changed: Type.String({ description: 'when its state last changed' }),
  owners: Type.Array(Type.String(), { description: 'names of the tokens that sent it and have not taken it back' }),
});

const filters = {
  state: Type.Optional(state),
  owner: Type.Optional(
    Type.String({
      maxLength: 200,
      pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
      description: 'the name of a token that sent it',
    }),
  ),
  since: timeFilter('received at this time or later'),
  before: timeFilter('received before this time'),
};

/** A token of role upload is told of its own alone, as everywhere. */
const readers = { access: ['upload', 'ops', 'read'] } as const;
const failures = { '4xx': problem, '5xx': problem };

export function uploadListRoutes(server: Server, deps: UploadListDeps): void {
  server.get(
    '/uploads',
    {
      config: { ...readers, errors: ['INVALID_CURSOR', 'NETWORK_UNKNOWN'] },
      schema: {
        tags: ['uploads'],
        summary: 'All uploads, newest first',
        description:
          'Each as GET /uploads/{cid} shows it. Uploads that were removed are among them. A token of role upload gets those that it sent and did not take back, and may name no other owner.',
        querystring: exactly({ ...listQuery, ...filters }),
        response: { 200: listOf(uploadSchema), ...failures },
      },
    },
    async (request) => {
      const { query } = request;
      const own = ownerOf(request);
      const filter = filterOf(query, own);
      const after = query.cursor === undefined ? undefined : parseCursor(query.cursor);
      return listPage(query, {
        read: (limit) => listUploads(deps.kysely, filter, { after, limit }),
        place: ({ age, id }) => [age.toString(), id.toString()],
        answer: (upload) => uploadAnswer(deps, upload, own),
        count: () => countUploads(deps.kysely, filter),
      });
    },
  );
  showRoute(server, deps);
}

function showRoute(server: Server, deps: UploadListDeps): void {
  server.get(
    '/uploads/:cid',
    {
      config: { ...readers, errors: ['INVALID_CID', 'NOT_FOUND', 'NETWORK_UNKNOWN'] },
      schema: {
        tags: ['uploads'],
        summary: 'One upload as the list shows it',
        description:
          'As GET /check/{cid}, with its own state and its owners; one that was removed too. A token of role upload finds its own alone.',
        params: exactly({ cid: Type.String() }),
        querystring: exactly({}),
        response: { 200: uploadSchema, ...failures },
      },
    },
    async (request) => {
      const { cid } = request.params;
      const own = ownerOf(request);
      const found = await findListedUpload(deps.kysely, canonicalRoot(cid));
      if (found === undefined || (own !== undefined && !found.owners.includes(own)))
        throw new LadingError('NOT_FOUND', `there is no upload ${cid}`);
      return uploadAnswer(deps, found, own);
    },
  );
}

interface FilterQuery {
  state?: UploadFilter['state'];
  owner?: string;
  since?: string;
  before?: string;
}

/** `own`: the only owner whose uploads the caller may see. */
function filterOf({ state: inState, owner, since, before }: FilterQuery, own: string | undefined): UploadFilter {
  if (own !== undefined && owner !== undefined && owner !== own)
    throw new LadingError('FORBIDDEN', `a token of role upload lists its own uploads alone: leave owner out`);
  return { state: inState, owner: own ?? owner, since: parseTime('since', since), before: parseTime('before', before) };
}

function parseCursor(cursor: string) {
  const [age = '', id = ''] = decodeCursor(cursor, [/^-?\d{1,17}$/, /^\d{1,18}$/]);
  return { age: BigInt(age), id: BigInt(id) };
}

/** `own`: whoever else sent it is none of the caller's business. */
function uploadAnswer(deps: StatusDeps, upload: ListedUpload, own: string | undefined) {
  const { root: cid, state: inState } = upload;
  const owners = own === undefined ? upload.owners : [own];
  const changed = formatOffsetTime(upload.changedAt, 'microseconds');
  return { cid, state: inState, changed, owners, ...statusAnswer(deps, upload) };
}
