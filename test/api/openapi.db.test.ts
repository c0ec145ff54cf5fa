import { expect, test } from 'vitest';
import { apiFixture } from '../support/api-fixture.ts';

interface Operation {
  operationId: string;
  summary: string;
  description: string;
  tags: string[];
  'x-roles': string[];
  security?: unknown;
  parameters: { in: string; name: string; schema: unknown; example: unknown }[];
  responses: Record<string, { description: string; content?: Record<string, object> }>;
}

async function readDocument(fixture: Awaited<ReturnType<typeof apiFixture>>) {
  const response = await fixture.server.inject('/docs/json');
  expect(response.statusCode).toBe(200);
  const { openapi, paths } = response.json<{ openapi: string; paths: Record<string, Record<string, Operation>> }>();
  expect(openapi).toBe('3.1.0');
  expect(response.body).not.toContain('(no example)');
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, path, operation })),
  );
}

test('every route says what it does, who may call it, and how it fails', async () => {
  await using fixture = await apiFixture();
  const operations = await readDocument(fixture);
  expect(operations.length).toBeGreaterThan(40);
  expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length);
  const lacking = operations.flatMap(({ method, path, operation }) => {
    const { summary, description, tags, security, responses, parameters } = operation;
    const isPublic = operation['x-roles'].includes('public');
    const statuses = Object.keys(responses);
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const faults = [
      ...(summary === '' ? ['no summary'] : []),
      ...(description === '' ? ['no description'] : []),
      ...(tags.length === 1 ? [] : ['not one tag']),
      ...(operation['x-roles'].length === 0 ? ['nobody may call it'] : []),
      ...(isPublic === (security === undefined) ? [] : ['its security is not its roles']),
      ...(isPublic || statuses.includes('401') ? [] : ['no 401']),
      ...(statuses.some((status) => status.startsWith('2')) ? [] : ['no good answer']),
      ...(statuses.includes('400') ? [] : ['no 400']),
      ...(named.every((name) => parameters.some((one) => one.in === 'path' && one.name === name))
        ? []
        : ['a parameter']),
    ];
    return faults.map((fault) => `${method} ${path}: ${fault}`);
  });
  expect(lacking).toEqual([]);
});

test('no error is told by its class alone, and each comes with an example', async () => {
  await using fixture = await apiFixture();
  for (const { operation } of await readDocument(fixture)) {
    for (const [status, { content }] of Object.entries(operation.responses)) {
      expect(status).toMatch(/^\d{3}$/);
      if (Number(status) < 400) continue;
      const told = Object.values(content ?? {}).some((media) => 'examples' in media);
      expect([operation.operationId, status, told]).toEqual([operation.operationId, status, true]);
    }
  }
});

test('the page loads nothing and runs no script, and leads to every code', async () => {
  await using fixture = await apiFixture();
  const page = await fixture.server.inject('/docs');
  expect(page.headers['content-security-policy']).toContain("default-src 'none'");
  expect(page.body).not.toMatch(/<script|<link|<img|https?:\/\/(?!(lading|files)\.example\.com)/);
  const missing = await fixture.server.inject('/nowhere/at/all');
  const { type } = missing.json<{ type: string }>();
  expect(page.body).toContain(`id="${type.replace('/docs#', '')}"`);
});
