import { bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

interface Change {
  body?: object;
  token?: string;
}

/** A call by the operator, unless told otherwise. */
export function call(
  fixture: ApiFixture,
  method: Method,
  url: string,
  { body: payload, token = tokens.ops }: Change = {},
) {
  return fixture.server.inject({ method, url, headers: bearer(token), ...(payload === undefined ? {} : { payload }) });
}

/** A small upload of each seed; answers their roots. */
export async function uploadAll(fixture: ApiFixture, seeds: string[]): Promise<string[]> {
  const roots: string[] = [];
  for (const seed of seeds) {
    const { car, root } = sampleUpload(seed);
    const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
    await fixture.server.inject({ method: 'POST', url: '/upload', payload: car, headers });
    roots.push(root.toString());
  }
  return roots;
}
