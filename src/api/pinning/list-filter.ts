import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { BadInput } from '../../errors.ts';
import { requestStatuses, type RequestFilter, type RequestStatus } from '../../pins/requests/list-requests.ts';
import { parseTime } from '../answers/list-page.ts';
import { canonicalRoot } from '../answers/parse-cid.ts';
import { MAX_CIDS, type listSchema } from './pin-schemas.ts';

type Query = Static<typeof listSchema>;

const metaSchema = Type.Record(Type.String(), Type.String({ pattern: '^[^\\u0000]*$' }));

/** Pure: the filters of a list as its query says them. Without any only what is pinned is listed. */
export function parseFilter(query: Query): RequestFilter {
  const { name, match } = query;
  const cids = splitList(query.cid);
  if (cids !== undefined && cids.length > MAX_CIDS)
    throw new BadInput('INVALID_REQUEST', `cid: ${cids.length} of them, ask for at most ${MAX_CIDS} at a time`);
  const meta = parseMeta(query);
  const statuses = splitList(query.status)?.map(parseStatus);
  const isOpen = cids === undefined && name === undefined && meta === undefined;
  return {
    roots: cids?.map(canonicalRoot),
    name,
    match,
    statuses: statuses ?? (isOpen ? ['pinned'] : undefined),
    before: parseTime('before', query.before),
    after: parseTime('after', query.after),
    meta,
  };
}

/** Clients of version 1.0 separate by commas, and its text says to repeat the name; neither a CID nor a status has a comma. */
function splitList(given: string | string[] | undefined): string[] | undefined {
  if (given === undefined) return undefined;
  return [...new Set([given].flat().flatMap((text) => text.split(',')))];
}

function parseStatus(text: string): RequestStatus {
  const found = requestStatuses.find((status) => status === text);
  if (found !== undefined) return found;
  throw new BadInput('INVALID_REQUEST', `status: '${text}' is none of ${requestStatuses.join(', ')}`);
}

/** As JSON, or key by key. */
function parseMeta(query: Query): Record<string, string> | undefined {
  const byKey = Object.entries(query).flatMap(([name, value]) => {
    const key = /^meta\[(.*)\]$/.exec(name)?.[1];
    return key === undefined ? [] : [[key, String(value)] as const];
  });
  if (query.meta === undefined && byKey.length === 0) return undefined;
  return { ...(query.meta === undefined ? {} : parseMetaJson(query.meta)), ...Object.fromEntries(byKey) };
}

function parseMetaJson(text: string): Record<string, string> {
  const parsed = readJson(text);
  if (Check(metaSchema, parsed)) return parsed;
  throw new BadInput('INVALID_REQUEST', 'meta: send a JSON object whose values are strings, such as {"app_id":"7"}');
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
