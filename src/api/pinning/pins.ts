import { randomUUID } from 'node:crypto';
import type { Kysely } from 'kysely';
import { Type, type Static } from 'typebox';
import type { OnComplete } from '../../aggregate/receive/receive.ts';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { LadingError } from '../../errors.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import { findRequest, listRequests } from '../../pins/requests/list-requests.ts';
import { parseOrigin } from '../../pins/requests/origins.ts';
import { insertRequest, removeRequest, type NewRequest } from '../../pins/requests/request-store.ts';
import type { ErrorCode } from '../answers/error-codes.ts';
import { canonicalRoot } from '../answers/parse-cid.ts';
import { exactly } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';
import { callerName } from '../door/auth.ts';
import type { StatusDeps } from '../uploads/status-answer.ts';
import { parseFilter } from './list-filter.ts';
import {
  DEFAULT_RESULTS,
  listSchema,
  pinningFailure,
  pinResultsSchema,
  pinSchema,
  pinStatusAnswer,
  pinStatusSchema,
  requestIdSchema,
} from './pin-schemas.ts';

export interface PinningDeps extends Pick<StatusDeps, 'pinView'> {
  kysely: Kysely<DB>;
  jobs: Pick<Jobs, 'send'>;
  clock: Clock;
  /** Multiaddrs of the node that fetches, to which clients connect so that it finds them; none without one. */
  delegates?(): Promise<readonly string[]>;
  /** Told of complete uploads that a token owns from now on, in the transaction. */
  onOwned?: OnComplete | undefined;
  /** Throws `STORE_QUOTA` where nothing more is taken. */
  expectBytes?(bytes: number): Promise<void>;
}

const access = ['upload'] as const;
const tags = ['pins'];
const params = exactly({ requestid: requestIdSchema });
const failures = { '4xx': pinningFailure, '5xx': pinningFailure };
const addErrors: readonly ErrorCode[] = ['INVALID_CID', 'STORE_QUOTA'];
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

/** The IPFS Pinning Service API 1.0: what `ipfs pin remote` calls. */
export function pinRoutes(server: Server, deps: PinningDeps): void {
  listRoute(server, deps);
  addRoute(server, deps);
  showRoute(server, deps);
  replaceRoute(server, deps);
  removeRoute(server, deps);
}

function listRoute(server: Server, deps: PinningDeps): void {
  server.get(
    '/pins',
    {
      config: { access, pinning: true, errors: ['INVALID_CID'] },
      schema: {
        tags,
        summary: 'Your pins, the newest first',
        description:
          'Those that match all filters; without status, cid, name or meta those that are pinned. Go on with before = created of the last one. IPFS Pinning Service API 1.0.',
        querystring: listSchema,
        response: { 200: pinResultsSchema, ...failures },
      },
    },
    async (request) => {
      const { limit = DEFAULT_RESULTS } = request.query;
      const given = { filter: parseFilter(request.query), limit };
      const { count, requests } = await listRequests(deps.kysely, whose(deps, callerName(request)), given);
      const delegates = await delegatesOf(deps);
      return { count, results: requests.map((one) => pinStatusAnswer(one, delegates)) };
    },
  );
}

function addRoute(server: Server, deps: PinningDeps): void {
  server.post(
    '/pins',
    {
      config: { access, pinning: true, errors: addErrors },
      schema: {
        tags,
        summary: 'Pin by CID',
        description:
          'The service fetches all blocks below the CID, checks each, and from then on it is an upload of yours. They come from the origins, from the gateways and from the IPFS node that the service has. IPFS Pinning Service API 1.0.',
        body: pinSchema,
        querystring: exactly({}),
        response: { 202: pinStatusSchema, ...failures },
      },
    },
    async (request, reply) => {
      await deps.expectBytes?.(0);
      const wanted = newRequest(request.body, callerName(request), deps.clock.now());
      await deps.kysely.transaction().execute((trx) => insertRequest(trx, deps, wanted));
      return reply.code(202).send(await answerOf(deps, wanted.owner, wanted.id));
    },
  );
}

function showRoute(server: Server, deps: PinningDeps): void {
  server.get(
    '/pins/:requestid',
    {
      config: { access, pinning: true, errors: ['NOT_FOUND'] },
      schema: {
        tags,
        summary: 'How far a pin has come',
        description: 'info.status_details says why it is not pinned yet. IPFS Pinning Service API 1.0.',
        params,
        querystring: exactly({}),
        response: { 200: pinStatusSchema, ...failures },
      },
    },
    async (request) => answerOf(deps, callerName(request), request.params.requestid),
  );
}

function replaceRoute(server: Server, deps: PinningDeps): void {
  server.post(
    '/pins/:requestid',
    {
      config: { access, pinning: true, errors: [...addErrors, 'NOT_FOUND'] },
      schema: {
        tags,
        summary: 'Pin another CID in place of this one',
        description:
          'Adds and removes in one step: what both have in common is not given up in between. The new pin has an id of its own. IPFS Pinning Service API 1.0.',
        params,
        body: pinSchema,
        querystring: exactly({}),
        response: { 202: pinStatusSchema, ...failures },
      },
    },
    async (request, reply) => {
      const { requestid: old } = request.params;
      await deps.expectBytes?.(0);
      const at = deps.clock.now();
      const wanted = newRequest(request.body, callerName(request), at);
      await deps.kysely.transaction().execute(async (trx) => {
        await insertRequest(trx, deps, wanted);
        const removed = isId(old) && (await removeRequest(trx, { id: old, owner: wanted.owner, at }));
        if (!removed) throw unknown(old);
      });
      return reply.code(202).send(await answerOf(deps, wanted.owner, wanted.id));
    },
  );
}

function removeRoute(server: Server, deps: PinningDeps): void {
  server.delete(
    '/pins/:requestid',
    {
      config: { access, pinning: true, errors: ['NOT_FOUND'] },
      schema: {
        tags,
        summary: 'Remove a pin',
        description:
          'With the last pin of its CID ends what pinning gave: the upload is yours no more, as after DELETE /{cid}. One that you sent too stays yours. IPFS Pinning Service API 1.0.',
        params,
        querystring: exactly({}),
        response: { 202: Type.Unsafe<undefined>({ type: 'null' }), ...failures },
      },
    },
    async (request, reply) => {
      const { requestid: id } = request.params;
      const given = { id, owner: callerName(request), at: deps.clock.now() };
      const removed = isId(id) && (await deps.kysely.transaction().execute((trx) => removeRequest(trx, given)));
      if (!removed) throw unknown(id);
      return reply.code(202).send(undefined);
    },
  );
}

/** Throws `INVALID_CID`, and `INVALID_REQUEST` for an origin that is no address. */
function newRequest(pin: Static<typeof pinSchema>, owner: string, at: Date): NewRequest {
  const { cid, name, origins, meta } = pin;
  for (const origin of origins ?? []) parseOrigin(origin);
  return {
    id: randomUUID(),
    owner,
    cid,
    root: canonicalRoot(cid),
    name: name ?? undefined,
    origins: origins ?? [],
    meta: meta ?? undefined,
    at,
  };
}

async function answerOf(deps: PinningDeps, owner: string, id: string) {
  const found = isId(id) ? await findRequest(deps.kysely, whose(deps, owner), id) : undefined;
  if (found === undefined) throw unknown(id);
  return pinStatusAnswer(found, await delegatesOf(deps));
}

function whose({ pinView }: PinningDeps, owner: string) {
  return { owner, inCluster: pinView !== undefined };
}

async function delegatesOf({ delegates }: PinningDeps): Promise<readonly string[]> {
  return (await delegates?.()) ?? [];
}

function isId(text: string): boolean {
  return UUID.test(text);
}

function unknown(id: string): LadingError {
  return new LadingError('NOT_FOUND', `you have no pin with the id ${id}`);
}
