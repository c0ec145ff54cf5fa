import { Type } from 'typebox';
import { exactly, problem } from './answers/schemas.ts';
import type { Server } from './answers/typed-server.ts';

export interface MetricsDeps {
  metrics: {
    contentType: string;
    text(): Promise<string>;
  };
}

/** What Prometheus scrapes. The figures tell how business goes, so that not everybody reads them. */
export function metricsRoute(server: Server, { metrics }: MetricsDeps): void {
  server.get(
    '/metrics',
    {
      config: { access: 'scrape' },
      schema: {
        summary: 'Metrics for Prometheus',
        description:
          'The text format of Prometheus; all names begin with `lading_`. Without a token from the addresses of METRICS_FROM alone, by default those of the machine itself. The database is asked at most every 15 seconds.',
        tags: ['machines'],
        querystring: exactly({}),
        produces: ['text/plain'],
        response: { 200: Type.String({ description: 'The metrics.' }), '4xx': problem, '5xx': problem },
      },
    },
    async (_request, reply) =>
      reply
        .type(metrics.contentType)
        .header('cache-control', 'no-store')
        .send(await metrics.text()),
  );
}
