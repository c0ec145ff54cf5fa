import { Type } from 'typebox';
import {
  nameMatches,
  requestStatuses,
  type PinRequest,
  type RequestStatus,
} from '../../pins/requests/list-requests.ts';
import { exactly } from '../answers/schemas.ts';

/** The objects of the IPFS Pinning Service API 1.0, in its words. */
const MAX_NAME_CHARS = 255;
const MAX_ORIGINS = 20;
/** No multiaddr is longer that anybody dials. */
const MAX_ORIGIN_CHARS = 1_000;
const MAX_META_KEYS = 1_000;
const MAX_CID_CHARS = 1_024;
export const MAX_CIDS = 10;
export const MAX_RESULTS = 1_000;
export const DEFAULT_RESULTS = 10;

const CID = 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi';
const ORIGIN = '/ip4/203.0.113.7/tcp/4001/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf';
const META = { app_id: '99986338-1113-4706-8302-4420da6158aa' };
const TIME = '2026-03-01T12:30:00.123Z';

/** PostgreSQL takes no NUL in text. */
const NO_NUL = '^[^\\u0000]*$';
const text = Type.String({ pattern: NO_NUL });
const metaSchema = Type.Record(Type.String({ pattern: NO_NUL }), text, {
  maxProperties: MAX_META_KEYS,
  examples: [META],
  description: 'anything that the caller wants to find its pins by',
});

const statusSchema = Type.Unsafe<RequestStatus>({ type: 'string', enum: [...requestStatuses] });

export const pinSchema = exactly({
  cid: Type.String({ maxLength: MAX_CID_CHARS, description: 'the root of what is to be pinned, all of it' }),
  name: Type.Optional(Type.Union([Type.String({ maxLength: MAX_NAME_CHARS, pattern: NO_NUL }), Type.Null()])),
  origins: Type.Optional(
    Type.Union([
      Type.Array(Type.String({ minLength: 1, maxLength: MAX_ORIGIN_CHARS, pattern: NO_NUL }), {
        maxItems: MAX_ORIGINS,
        examples: [[ORIGIN]],
        uniqueItems: true,
        description:
          'where it is: multiaddrs of IPFS nodes, multiaddrs that end in /http or /https, or http(s) URLs of trustless gateways',
      }),
      Type.Null(),
    ]),
  ),
  meta: Type.Optional(Type.Union([metaSchema, Type.Null()])),
});

const shownPin = exactly({
  cid: Type.String(),
  name: Type.Optional(Type.String()),
  origins: Type.Array(Type.String(), { examples: [[ORIGIN]] }),
  meta: Type.Optional(Type.Record(Type.String(), Type.String(), { examples: [META] })),
});

export const requestIdSchema = Type.String({ examples: ['5f0c6f0e-6f0e-4d2a-9d5b-0f1d2c3b4a59'] });

export const pinStatusSchema = exactly({
  requestid: requestIdSchema,
  status: statusSchema,
  created: Type.String({ format: 'date-time', examples: [TIME], description: 'no two pins of a token have the same' }),
  pin: shownPin,
  delegates: Type.Array(Type.String(), {
    examples: [[ORIGIN]],
    description: 'multiaddrs of the IPFS node that fetches; none without one',
  }),
  info: Type.Optional(
    Type.Record(Type.String(), Type.String(), { examples: [{ status_details: 'waits to be fetched' }] }),
  ),
});

export const pinResultsSchema = exactly({
  count: Type.Integer({ minimum: 0, description: 'how many match, on all pages' }),
  results: Type.Array(pinStatusSchema),
});

const several = (description: string, example: string) =>
  Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())], { description, examples: [example] }));

export const listSchema = Type.Object(
  {
    cid: several(`up to ${MAX_CIDS}: repeated, or separated by commas; v0 and v1 are the same`, CID),
    name: Type.Optional(Type.String({ maxLength: MAX_NAME_CHARS, pattern: NO_NUL })),
    match: Type.Optional(Type.Unsafe<(typeof nameMatches)[number]>({ type: 'string', enum: [...nameMatches] })),
    status: several('queued, pinning, pinned, failed: repeated, or separated by commas', 'queued,pinning'),
    before: Type.Optional(Type.String({ format: 'date-time', maxLength: 40, examples: [TIME] })),
    after: Type.Optional(Type.String({ format: 'date-time', maxLength: 40, examples: [TIME] })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_RESULTS })),
    meta: Type.Optional(
      Type.String({
        examples: [JSON.stringify(META)],
        description: 'JSON, {"key":"value"}; meta[key]=value means the same',
      }),
    ),
  },
  { additionalProperties: false, patternProperties: { '^meta\\[[^\\]]*\\]$': Type.String({ pattern: NO_NUL }) } },
);

/** Errors of these routes. */
export const pinningFailure = exactly({
  error: exactly({
    reason: Type.String({ examples: ['BAD_REQUEST'] }),
    details: Type.Optional(Type.String({ examples: ['what is wrong, and what to do'] })),
  }),
});

export function pinStatusAnswer(request: PinRequest, delegates: readonly string[]) {
  const { id, status, createdAt, cid, name, origins, meta } = request;
  const info = infoOf(request);
  return {
    requestid: id,
    status,
    created: createdAt.toISOString(),
    pin: { cid, origins, ...(name !== null && { name }), ...(meta !== null && { meta }) },
    delegates: [...delegates],
    ...(Object.keys(info).length > 0 && { info }),
  };
}

function infoOf({ status, detail, missing, dagBytes }: PinRequest): Record<string, string> {
  const lacks = missing && `${missing.count} blocks known to be missing, the first is ${missing.first}`;
  const details = [detail ?? (status === 'queued' ? 'waits to be fetched' : null), lacks].filter(
    (said) => said !== null,
  );
  return {
    ...(status !== 'pinned' && details.length > 0 && { status_details: details.join('; ') }),
    ...(dagBytes !== null && { dag_size: dagBytes.toString() }),
  };
}
