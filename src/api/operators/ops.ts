import type { Kysely } from 'kysely';
import { Type, type TProperties } from 'typebox';
import type { DB } from '../../db/tables.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { createFigures, MAX_ROWS, type OpsFigures } from '../../ops/figures.ts';
import {
  chainRow,
  dealsByStateRow,
  funnelRow,
  jobsRow,
  outboxRow,
  reportNames,
  reports,
  runwayRow,
  storeRow,
  type Report,
  type ReportName,
} from '../../ops/report-rows.ts';
import { exactly, nullableText, problem } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

export interface OpsDeps {
  kysely: Kysely<DB>;
}

const listOfRows = (row: TProperties) => Type.Array(exactly(row));
const count = Type.Integer();
const levels = exactly({ '48': count, '60': count, '72': count });

const attentionSchema = exactly({
  level: Type.Union([Type.Literal('alarm'), Type.Literal('warning'), Type.Literal('note')]),
  code: Type.String({ examples: ['stuck_aggregates_72h'] }),
  items: count,
  since: nullableText,
  text: Type.String({ examples: ['3 aggregates did not move on for more than 72 hours'] }),
  page: Type.String({ examples: ['/dashboard/aggregates'] }),
});

const overviewSchema = exactly({
  asOf: Type.String(),
  funnel: listOfRows(funnelRow),
  dealsByState: listOfRows(dealsByStateRow),
  stuck: exactly({ upload: levels, aggregate: levels, deal: levels }),
  transfers: exactly({ notBegun: count, moving: count, still: count }),
  providers: exactly({ enabled: count, resting: count, paused: count, removed: count }),
  expiring: exactly({ within30Days: count, unrenewed: count }),
  runway: listOfRows(runwayRow),
  jobs: listOfRows(jobsRow),
  outbox: exactly(outboxRow),
  chain: exactly(chainRow),
  store: exactly(storeRow),
  policy: exactly({ version: count, proposing: Type.Boolean(), replicas: count }),
  attention: Type.Array(attentionSchema),
});

const common = { config: { access: ['ops', 'read'], errors: ['UNAVAILABLE'] } } as const;
const DEFAULT_ROWS = 100;

export function opsRoutes(server: Server, deps: OpsDeps): void {
  const figures = createFigures(deps);
  server.get(
    '/ops/overview',
    {
      ...common,
      schema: {
        tags: ['operations'],
        summary: 'How everything is, in one answer',
        description:
          'The figures of the views `ops_*` that an operator looks at first, and what needs somebody, in the order to look at it. Read at most every five seconds, however many ask.',
        querystring: exactly({}),
        response: { 200: overviewSchema, '4xx': problem, '5xx': problem },
      },
    },
    async () => {
      const { at, ...rest } = await figures.overview();
      return { asOf: formatOffsetTime(at, 'microseconds'), ...rest };
    },
  );
  for (const name of reportNames) reportRoute(server, figures, name);
}

function reportRoute(server: Server, figures: OpsFigures, name: ReportName): void {
  const { summary, view, row }: Report = reports[name];
  server.get(
    `/ops/${name}`,
    {
      ...common,
      schema: {
        tags: ['operations'],
        summary,
        description: `The rows of the view \`${view}\`, what matters most first. Read at most every ten seconds, however many ask; \`more\`: there are more rows, which SQL shows.`,
        querystring: exactly({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_ROWS })) }),
        response: {
          200: exactly({ asOf: Type.String(), rows: listOfRows(row), more: Type.Boolean() }),
          '4xx': problem,
          '5xx': problem,
        },
      },
    },
    async ({ query }) => {
      const { at, ...found } = await figures.report(name, query.limit ?? DEFAULT_ROWS);
      return { asOf: formatOffsetTime(at, 'microseconds'), ...found };
    },
  );
}
