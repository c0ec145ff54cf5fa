import packageFile from '../../../package.json' with { type: 'json' };
import { Type } from 'typebox';
import { buildDocument, type OpenApiDocument } from './document.ts';
import { pageOf, PAGE_POLICY } from './page.ts';
import type { DescribedRoute } from './responses.ts';
import { exactly } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

/** Notes the routes that are declared from now on; the function gives the document of all of them. */
function describeRoutes(server: Server): () => OpenApiDocument {
  const routes: DescribedRoute[] = [];
  server.addHook('onRoute', ({ method, url, config = {}, schema = {} }) => {
    if (schema.hide) return;
    for (const one of [method].flat()) routes.push({ method: one, url, config, schema });
  });
  return once(() => buildDocument(routes, packageFile.version));
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

/** The document of all routes that are declared after this, and a page that shows it. */
export function docsRoutes(server: Server): void {
  const document = describeRoutes(server);
  const json = once(() => JSON.stringify(document()));
  const page = once(() => pageOf(document()));
  const config = { access: 'public' } as const;
  const querystring = exactly({});
  server.get(
    '/docs',
    {
      config,
      schema: {
        summary: 'This page',
        description: 'All routes of the service, for reading. It loads nothing and runs no script.',
        tags: ['machines'],
        querystring,
        produces: ['text/html'],
        response: { 200: Type.String({ description: 'The page.' }) },
      },
    },
    async (_request, reply) =>
      reply
        .type('text/html; charset=utf-8')
        .header('content-security-policy', PAGE_POLICY)
        .header('cache-control', 'no-cache')
        .send(page()),
  );
  server.get(
    '/docs/json',
    {
      config,
      schema: {
        summary: 'The OpenAPI document',
        description: 'OpenAPI 3.1, made of the schemas that check the requests.',
        tags: ['machines'],
        querystring,
        response: { 200: Type.Object({}, { description: 'The document.', additionalProperties: true }) },
      },
    },
    async (_request, reply) => reply.type('application/json').serializer(json).send({}),
  );
}
