import type { FastifyContextConfig } from 'fastify';
import { asObject, type JsonObject } from '../answers/json-object.ts';
import { exampleOf } from './examples.ts';
import { responsesOf, type DescribedRoute, type Media, type Response } from './responses.ts';
import { hoist } from './schemas.ts';

declare module 'fastify' {
  interface FastifySchema {
    summary?: string;
    description?: string;
    tags?: readonly string[];
    /** Media types of the body and of the good answer, where they are not JSON. */
    consumes?: readonly string[];
    produces?: readonly string[];
    /** True for what is no part of the API, such as answers to a browser's questions before its requests. */
    hide?: boolean;
  }
}

/** Groups of routes, in the order in which a reader meets them. */
export const tags = {
  uploads: 'Sending CARs, asking for their state, proving where they are.',
  status: 'Where each upload stands: pin, deals, why it waits and until when.',
  events: 'Changes as they happen: a stream of events, and webhooks.',
  aggregates: 'The pieces that uploads are packed into.',
  deals: 'Storage deals, their history, and what an operator can do about them.',
  providers: 'Storage providers, and the policy by which they are chosen.',
  operations: 'How everything is, and what needs somebody.',
  tokens: 'Who may call.',
  dashboard: 'The page for people, and its session.',
  machines: 'What storage providers, orchestrators and programs ask for.',
} as const;

export interface Operation {
  operationId: string;
  summary: string;
  description: string;
  tags: readonly string[];
  'x-roles': readonly string[];
  security?: readonly JsonObject[];
  parameters: readonly Parameter[];
  requestBody?: { required: boolean; content: Record<string, Media> };
  responses: Record<string, Response>;
}

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required: boolean;
  description?: string;
  schema: JsonObject;
  example: unknown;
}

export interface OpenApiDocument {
  openapi: '3.1.0';
  info: { title: string; version: string; description: string; license: { name: string; identifier: string } };
  servers: readonly { url: string }[];
  tags: readonly { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown>; securitySchemes: JsonObject };
}

const DESCRIPTION = `Lading packs uploads into pieces, makes Filecoin storage deals for them, and follows the chain until every deal is active.

Every route but the public ones wants a token of ours as \`Authorization: Bearer …\`; \`x-roles\` says which roles may call it. What a route does not know in its path, query or body it refuses. Errors are problem details (RFC 9457) with a stable \`code\`, save on the routes that clients of nft.storage call, which answer \`{ok, error}\` as they know it.`;

/** Pure: the document that tells of the routes, made of the very schemas that check their requests. */
export function buildDocument(routes: readonly DescribedRoute[], version: string): OpenApiDocument {
  const schemas = new Map<string, unknown>();
  const paths: OpenApiDocument['paths'] = {};
  for (const route of routes) {
    // What takes any path below its own is told of as one name more.
    const path = route.url.replaceAll(/:(\w+)/g, '{$1}').replace('*', '{path}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: describe(route, schemas) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Lading',
      version,
      description: DESCRIPTION,
      license: { name: 'MIT OR Apache-2.0', identifier: 'MIT OR Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: Object.fromEntries(schemas),
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'A token of the service.' } },
    },
  };
}

function describe(route: DescribedRoute, schemas: Map<string, unknown>): Operation {
  const { schema, config } = route;
  const isPublic = config.access === 'public';
  const body = requestBody(route, schemas);
  return {
    operationId: operationId(route),
    summary: schema.summary ?? '',
    description: schema.description ?? '',
    tags: schema.tags ?? [],
    'x-roles': rolesOf(config),
    ...(isPublic ? {} : { security: [{ bearer: [] }] }),
    parameters: [
      ...parameters('path', schema.params, schemas),
      ...parameters('query', schema.querystring, schemas),
      ...parameters('header', schema.headers, schemas),
    ],
    ...(body === undefined ? {} : { requestBody: body }),
    responses: responsesOf(route, schemas),
  };
}

/** `GET /deals/:id/history` → `getDealsByIdHistory`. */
function operationId({ method, url }: DescribedRoute): string {
  const words = url
    .split(/[/_-]/)
    .map((part) => part.replace(/^:/, 'by ').replace('*', 'by path'))
    .join(' ');
  const capital = words.replaceAll(/ +(\w)/g, (_all, letter: string) => letter.toUpperCase()).trim();
  return method.toLowerCase() + (capital === '' ? 'Root' : capital);
}

/** Who may call; a provider comes with the token of its deal. */
function rolesOf({ access }: FastifyContextConfig): readonly string[] {
  if (access === 'public') return ['public'];
  if (access === 'scrape') return ['ops', 'read'];
  return access === 'piece' ? ['ops', 'read', 'provider'] : (access ?? []);
}

function parameters(place: Parameter['in'], given: unknown, schemas: Map<string, unknown>): Parameter[] {
  const { properties, required } = objectParts(given);
  return Object.entries(properties).map(([name, property]) => {
    const { description, ...schema } = asObject(property);
    return {
      name: name === '*' ? 'path' : name,
      in: place,
      required: required.includes(name),
      ...(typeof description === 'string' ? { description } : {}),
      schema: asObject(hoist(schema, schemas)),
      example: exampleOf(schema, name),
    };
  });
}

function requestBody({ schema }: DescribedRoute, schemas: Map<string, unknown>): Operation['requestBody'] {
  const { body, consumes = ['application/json'] } = schema;
  if (body === undefined && schema.consumes === undefined) return undefined;
  const isOptional = mayBeNull(asObject(body));
  const media =
    body === undefined ? {} : { schema: asObject(hoist(body, schemas)), example: exampleOf(asObject(body), 'body') };
  return { required: !isOptional, content: Object.fromEntries(consumes.map((type) => [type, media])) };
}

/** A body that may be null may be left out. */
function mayBeNull({ anyOf }: JsonObject): boolean {
  return Array.isArray(anyOf) && anyOf.some((one) => asObject(one)['type'] === 'null');
}

function objectParts(schema: unknown): { properties: JsonObject; required: readonly unknown[] } {
  const { properties, required } = asObject(schema);
  return { properties: asObject(properties), required: Array.isArray(required) ? required : [] };
}
