import { STATUS_CODES } from 'node:http';
import type { FastifyContextConfig, FastifySchema } from 'fastify';
import { compatibleCode, errorCodes, pinningAnswer, type ErrorCode } from '../answers/error-codes.ts';
import { asObject, type JsonObject } from '../answers/json-object.ts';
import { exampleOf } from './examples.ts';
import { hoist } from './schemas.ts';
import { earlyErrors, errorsOf, unroutedErrors } from '../answers/route-errors.ts';
import { compatibleError, problem } from '../answers/schemas.ts';
import { pinningFailure } from '../pinning/pin-schemas.ts';

export interface DescribedRoute {
  method: string;
  url: string;
  config: FastifyContextConfig;
  schema: FastifySchema;
}

export interface Media {
  schema?: JsonObject;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}

export interface Response {
  description: string;
  content?: Record<string, Media>;
}

/** Pure: every answer of a route. A status that is both, such as 503 of a health check, has the content of both. */
export function responsesOf(route: DescribedRoute, schemas: Map<string, unknown>): Record<string, Response> {
  const good = goodResponses(route, schemas);
  const bad = badResponses(route, schemas);
  for (const [status, { content }] of Object.entries(bad)) Object.assign(content ?? {}, good[status]?.content);
  return { ...good, ...bad };
}

function goodResponses({ schema }: DescribedRoute, schemas: Map<string, unknown>): Record<string, Response> {
  // Errors are told by their codes.
  const good = Object.entries(asObject(schema.response)).filter(([status]) => /^\d{3}$/.test(status));
  return Object.fromEntries(
    good.map(([status, given]) => [status, goodResponse(status, asObject(given), schema, schemas)]),
  );
}

function goodResponse(
  status: string,
  given: JsonObject,
  schema: FastifySchema,
  schemas: Map<string, unknown>,
): Response {
  const said = given['description'];
  const description = typeof said === 'string' ? said : (STATUS_CODES[status] ?? status);
  if (given['type'] === 'null') return { description };
  if (given['content'] !== undefined) {
    const media = Object.entries(asObject(given['content'])).map(
      ([type, of]) => [type, mediaOf(type, asObject(asObject(of)['schema']), schemas)] as const,
    );
    return { description, content: Object.fromEntries(media) };
  }
  const types = Number(status) < 300 ? (schema.produces ?? ['application/json']) : ['application/json'];
  return { description, content: Object.fromEntries(types.map((type) => [type, mediaOf(type, given, schemas)])) };
}

/** What is no JSON has no schema: it is bytes or text, which the description tells of. */
function mediaOf(type: string, given: JsonObject, schemas: Map<string, unknown>): Media {
  if (!type.endsWith('json') || Object.keys(given).length === 0) return {};
  return { schema: asObject(hoist(given, schemas)), example: exampleOf(given, 'answer') };
}

function badResponses(route: DescribedRoute, schemas: Map<string, unknown>): Record<string, Response> {
  const byStatus = Map.groupBy(errorsOf(route), (code) => statusOf(code, route.config));
  return Object.fromEntries([...byStatus].map(([status, codes]) => [status, badResponse(route, codes, schemas)]));
}

function badResponse({ config }: DescribedRoute, codes: readonly ErrorCode[], schemas: Map<string, unknown>): Response {
  const description = codes.map((code) => `\`${nameOf(code, config)}\`: ${errorCodes[code][1]}`).join('. ');
  if (config.compatible !== true && config.pinning !== true)
    return { description, content: problemMedia(codes, schemas) };
  const early = codes.filter((code) => earlyErrors.includes(code));
  const routed = codes.filter((code) => !unroutedErrors.includes(code));
  return {
    description,
    content: {
      // What cannot even be read never comes to where other answers are known.
      ...(early.length > 0 && problemMedia(early, schemas)),
      ...(routed.length > 0 && (config.pinning ? pinningMedia : compatibleMedia)(routed, schemas)),
    },
  };
}

function problemMedia(codes: readonly ErrorCode[], schemas: Map<string, unknown>): Record<string, Media> {
  const schema = { allOf: [hoist(problem, schemas), { properties: { code: { enum: codes } } }] };
  const examples = Object.fromEntries(codes.map((code) => [code, { value: problemExample(code) }]));
  return { 'application/problem+json': { schema, examples } };
}

function compatibleMedia(codes: readonly ErrorCode[], schemas: Map<string, unknown>): Record<string, Media> {
  const names = codes.map(compatibleCode);
  const narrowed = { properties: { error: { properties: { code: { enum: names } } } } };
  const examples = codes.map((code) => [
    compatibleCode(code),
    { value: { ok: false, error: { code: compatibleCode(code), message: errorCodes[code][1] } } },
  ]);
  const schema = { allOf: [hoist(compatibleError, schemas), narrowed] };
  return { 'application/json': { schema, examples: Object.fromEntries(examples) } };
}

function pinningMedia(codes: readonly ErrorCode[], schemas: Map<string, unknown>): Record<string, Media> {
  const reasonOf = (code: ErrorCode) => pinningAnswer({ code, status: errorCodes[code][0] }).reason;
  const narrowed = { properties: { error: { properties: { reason: { enum: codes.map(reasonOf) } } } } };
  const examples = codes.map((code) => [
    reasonOf(code),
    { value: { error: { reason: reasonOf(code), details: errorCodes[code][1] } } },
  ]);
  const schema = { allOf: [hoist(pinningFailure, schemas), narrowed] };
  return { 'application/json': { schema, examples: Object.fromEntries(examples) } };
}

function statusOf(code: ErrorCode, config: FastifyContextConfig): number {
  const [status] = errorCodes[code];
  return config.pinning === true ? pinningAnswer({ code, status }).status : status;
}

function nameOf(code: ErrorCode, config: FastifyContextConfig): string {
  if (config.pinning === true) return pinningAnswer({ code, status: 0 }).reason;
  return config.compatible === true ? compatibleCode(code) : code;
}

function problemExample(code: ErrorCode): JsonObject {
  const [status, title] = errorCodes[code];
  const instance = '5f0c6f0e-6f0e-4d2a-9d5b-0f1d2c3b4a59';
  return { type: `/docs#${code}`, title, status, detail: title, code, instance };
}
