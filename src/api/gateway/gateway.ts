import { Type } from 'typebox';
import { exactly, problem, streamed } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';
import { ENTITY_BYTES_PATTERN } from './entity-bytes.ts';
import { CAR_TYPE, RAW_TYPE } from './format.ts';
import { createGateway, type GatewayDeps } from './serve.ts';

export type { GatewayDeps } from './serve.ts';

const MAX_FILENAME_CHARS = 255;

const querySchema = exactly({
  format: Type.Optional(Type.Union([Type.Literal('raw'), Type.Literal('car')])),
  'dag-scope': Type.Optional(Type.Union([Type.Literal('block'), Type.Literal('entity'), Type.Literal('all')])),
  'entity-bytes': Type.Optional(
    Type.String({
      pattern: ENTITY_BYTES_PATTERN,
      description: 'bytes of a file, both inclusive',
      examples: ['0:1023'],
    }),
  ),
  'car-version': Type.Optional(Type.Literal('1')),
  'car-order': Type.Optional(Type.Union([Type.Literal('dfs'), Type.Literal('unk')])),
  'car-dups': Type.Optional(Type.Union([Type.Literal('y'), Type.Literal('n')])),
  filename: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: MAX_FILENAME_CHARS,
      pattern: '^[^\\u0000-\\u001f/]*$',
      examples: ['pictures.car'],
    }),
  ),
  download: Type.Optional(Type.String({ maxLength: 8, description: 'every answer is a download', examples: ['true'] })),
});

const headersSchema = Type.Object({
  range: Type.Optional(Type.String({ description: 'of a raw block', examples: ['bytes=0-1023'] })),
  'if-none-match': Type.Optional(
    Type.String({ description: 'the ETag of what is there already', examples: ['"bafkqaaa.raw"'] }),
  ),
});

const errors = [
  'INVALID_CID',
  'NOT_FOUND',
  'STORED_BLOCK_MISSING',
  'NOT_ACCEPTABLE',
  'NOT_CACHED',
  'RANGE_NOT_SATISFIABLE',
  'TOO_MANY_BLOCKS_TO_WALK',
  'DAG_TOO_WIDE',
  'STORE_UNAVAILABLE',
] as const;

const description =
  'The trustless gateway of the IPFS specifications: one block, or a CAR of a DAG, whole or by path, scope and range, which the caller verifies by itself. The CID is the root of an upload that is stored here, or a block of one that was asked for lately.';

export function gatewayRoutes(server: Server, deps: GatewayDeps): void {
  const serve = createGateway(deps);
  const cid = Type.String({ description: 'a CID, version 0 or 1' });
  const path = Type.String({ description: 'names below it', examples: ['pictures/1.png'] });
  const config = { access: ['ops', 'read'], errors } as const;
  const common = { tags: ['uploads'], description, querystring: querySchema, headers: headersSchema };
  const schema = { ...common, summary: 'A stored block, or a DAG as a CAR', produces: [CAR_TYPE, RAW_TYPE] };
  const failures = { '4xx': problem, '5xx': problem };
  const bodies = { 200: streamed, 206: streamed, 304: Type.Null(), ...failures };
  const heads = { 200: Type.Null(), 304: Type.Null(), ...failures };
  const whole = exactly({ cid });
  const below = exactly({ cid, '*': path });
  server.get(
    '/ipfs/:cid',
    { config, schema: { ...schema, params: whole, response: bodies } },
    async (request, reply) => {
      await serve(request, reply);
      return reply;
    },
  );
  server.head(
    '/ipfs/:cid',
    { config, schema: { ...schema, params: whole, response: heads } },
    async (request, reply) => {
      await serve(request, reply);
      return reply;
    },
  );
  server.get(
    '/ipfs/:cid/*',
    { config, schema: { ...schema, params: below, response: bodies } },
    async (request, reply) => {
      await serve(request, reply);
      return reply;
    },
  );
  server.head(
    '/ipfs/:cid/*',
    { config, schema: { ...schema, params: below, response: heads } },
    async (request, reply) => {
      await serve(request, reply);
      return reply;
    },
  );
}
