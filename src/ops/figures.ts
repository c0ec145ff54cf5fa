import type { Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import { LadingError } from '../errors.ts';
import { keep, type Kept } from '../metrics/kept.ts';
import { attentionOf } from './attention.ts';
import { inOneMoment, readMachine, readOutlook, readPipeline, readStuck } from './overview-store.ts';
import { readRows } from './read-rows.ts';
import { reportNames, reports, type Report, type ReportName } from './report-rows.ts';

/** Of a report, whoever asks for less is shown less of the same reading. */
export const MAX_ROWS = 1_000;

/** However many look, the database is asked so often. What moves slowly is read in its own time, so that no refresh is dear. */
const PIPELINE_MS = 5_000;
const MACHINE_MS = 10_000;
const STUCK_MS = 30_000;
const OUTLOOK_MS = 60_000;
const REPORT_MS = 10_000;
/** A database that does not answer for longer is a fault, and old figures would hide it. */
const GOOD_MS = 120_000;
const PATIENCE_MS = 10_000;

interface Options {
  kysely: Kysely<DB>;
  monotonicMs?: () => number;
}

interface Moment<T> {
  at: Date;
  value: T;
}

async function told<T>(reading: Promise<Kept<T> | undefined>): Promise<T> {
  const kept = await reading;
  if (kept !== undefined) return kept.value;
  throw new LadingError('UNAVAILABLE', 'the database does not answer: the figures cannot be read at the moment', {
    retry: 'later',
  });
}

/** The figures of the overview and of each report, read once for all who ask. */
export function createFigures({ kysely, monotonicMs = () => performance.now() }: Options) {
  const kept = <T>(freshMs: number, read: (trx: Kysely<DB>) => Promise<T>) => {
    const rules = { freshMs, goodMs: GOOD_MS, patienceMs: PATIENCE_MS, monotonicMs };
    return keep<Moment<T>>(() => inOneMoment(kysely, read), rules);
  };
  const pipeline = kept(PIPELINE_MS, readPipeline);
  const machine = kept(MACHINE_MS, readMachine);
  const stuckItems = kept(STUCK_MS, readStuck);
  const outlook = kept(OUTLOOK_MS, readOutlook);
  const readReport = (report: Report) => kept(REPORT_MS, (trx) => readRows(trx, report, MAX_ROWS + 1));
  const listed = new Map(reportNames.map((name) => [name, readReport(reports[name])]));
  return {
    async overview() {
      const [moving, own, still, coming] = await Promise.all([
        told(pipeline()),
        told(machine()),
        told(stuckItems()),
        told(outlook()),
      ]);
      const figures = { ...moving.value, ...own.value, ...still.value, ...coming.value };
      const { policy, stuck, ...rest } = figures;
      const { version, proposing, replicas } = policy;
      return {
        at: moving.at,
        ...rest,
        stuck: stuck.counts,
        policy: { version, proposing, replicas },
        attention: attentionOf(figures, moving.at),
      };
    },
    async report(name: ReportName, limit: number) {
      const read = listed.get(name);
      if (read === undefined) throw new Error(`there is no report ${name}`);
      const { at, value } = await told(read());
      return { at, rows: value.slice(0, limit), more: value.length > limit };
    },
  };
}

export type OpsFigures = ReturnType<typeof createFigures>;
