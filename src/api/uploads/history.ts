import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB, Json } from '../../db/tables.ts';
import { listDealHistory, listUploadHistory, type HistoryEvent } from '../../deals/status/history-store.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { LadingError } from '../../errors.ts';
import { canonicalRoot } from '../answers/parse-cid.ts';
import {
  decodeCursor,
  encodeCursor,
  exactly,
  nullableNumber,
  nullableText,
  pageLimit,
  pageQuery,
  problem,
} from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

export interface HistoryDeps {
  kysely: Kysely<DB>;
}

const UUID = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
const POSITION = /^\d{1,18}$/;

const eventSchema = exactly({
  seen: Type.String({ description: 'when we saw it' }),
  subject: Type.Union([Type.Literal('upload'), Type.Literal('aggregate'), Type.Literal('deal')]),
  id: nullableText,
  from: nullableText,
  to: Type.String(),
  reasonCode: nullableText,
  detail: nullableText,
  epoch: nullableNumber,
  tipset: Type.Union([Type.Array(Type.String()), Type.Null()]),
  messageCid: nullableText,
  node: nullableText,
  evidence: Type.Unknown(),
});

const answer = {
  200: exactly({ items: Type.Array(eventSchema), next: nullableText }),
  '4xx': problem,
  '5xx': problem,
};

/** Every change with its evidence, oldest first. */
export function historyRoutes(server: Server, { kysely }: HistoryDeps): void {
  server.get(
    '/uploads/:cid/history',
    {
      config: { access: ['upload', 'ops', 'read'], errors: ['INVALID_CID', 'INVALID_CURSOR', 'NOT_FOUND'] },
      schema: {
        tags: ['uploads'],
        summary: 'All that happened to an upload',
        description:
          'Its own changes and those of its aggregates and deals, oldest first, each with the evidence that was seen.',
        params: exactly({ cid: Type.String() }),
        querystring: exactly(pageQuery),
        response: answer,
      },
    },
    async ({ params: { cid }, query }) => {
      const page = pageOf(query);
      const events = await listUploadHistory(kysely, canonicalRoot(cid), page);
      if (events === undefined) throw new LadingError('NOT_FOUND', `there is no upload ${cid}`);
      return pageAnswer(events, page.limit);
    },
  );
  server.get(
    '/deals/:id/history',
    {
      config: { access: ['ops', 'read'], errors: ['INVALID_CURSOR', 'NOT_FOUND'] },
      schema: {
        tags: ['deals'],
        summary: 'All that happened to a deal',
        description: 'Its changes, oldest first, each with the evidence that was seen.',
        params: exactly({ id: Type.String({ pattern: UUID }) }),
        querystring: exactly(pageQuery),
        response: answer,
      },
    },
    async ({ params: { id }, query }) => {
      const page = pageOf(query);
      const events = await listDealHistory(kysely, id, page);
      if (events === undefined) throw new LadingError('NOT_FOUND', `there is no deal ${id}`);
      return pageAnswer(events, page.limit);
    },
  );
}

function pageOf(query: { limit?: number; cursor?: string }) {
  const after = query.cursor === undefined ? 0n : BigInt(decodeCursor(query.cursor, [POSITION]).join(''));
  return { after, limit: pageLimit(query) };
}

function pageAnswer(events: HistoryEvent[], limit: number) {
  const last = events.length < limit ? undefined : events.at(-1);
  return { items: events.map(eventAnswer), next: last === undefined ? null : encodeCursor([last.position.toString()]) };
}

function eventAnswer(event: HistoryEvent) {
  const { at, subject, subjectId: id, from, to, reasonCode, detail, epoch, evidence } = event;
  const { tipset, message, node } = readEvidence(evidence);
  const seen = formatOffsetTime(at, 'microseconds');
  return { seen, subject, id, from, to, reasonCode, detail, epoch, tipset, messageCid: message, node, evidence };
}

/** What every chain event has in its evidence, and others have not. */
function readEvidence(evidence: Json | null) {
  const given: Record<string, unknown> =
    typeof evidence === 'object' && evidence !== null && !Array.isArray(evidence) ? { ...evidence } : {};
  const text = (key: string) => (typeof given[key] === 'string' ? given[key] : null);
  const { tipset } = given;
  return {
    tipset: Array.isArray(tipset) ? tipset.map(String) : null,
    message: text('message'),
    node: text('node'),
  };
}
