import { systemClock } from '../clock.ts';
import { commandLineActor } from '../deals/audit.ts';
import { BadInput } from '../errors.ts';
import { QUEUE_NAMES, type QueueName } from '../jobs/job-queues.ts';
import {
  listQueues,
  listTroubledJobs,
  redriveJobs,
  type QueueStanding,
  type TroubledJob,
} from '../jobs/job-troubles.ts';
import type { Io } from '../terminal.ts';
import { jsonOption, parseCommand, positional, table, toJson, type Command } from './command.ts';
import { withDatabase } from './database.ts';

const usage = 'job list | job troubled [--queue Q] | job redrive [ID…] [--queue Q] [--reason TEXT] [--json]';

/** A person reads no more. */
const LISTED = 200;

function queueRow({ queue, oldestDueAt, ...counts }: QueueStanding): Record<string, string> {
  const numbers = Object.fromEntries(Object.entries(counts).map(([name, value]) => [name, String(value)]));
  return { queue, ...numbers, 'due since': oldestDueAt?.toISOString() ?? '-' };
}

function jobRow({ id, queue, data, state, tries, error, nextAt }: TroubledJob): Record<string, string> {
  const next = nextAt?.toISOString() ?? 'when it is redriven';
  return { id, queue, of: JSON.stringify(data), state, tries: String(tries), next, error };
}

function queueOf(name: string | undefined): QueueName | undefined {
  if (name === undefined) return undefined;
  const queue = QUEUE_NAMES.find((one) => one === name);
  if (queue === undefined)
    throw new BadInput('USAGE', `--queue: there is no queue '${name}': ${QUEUE_NAMES.join(', ')}`);
  return queue;
}

function idsOf(given: readonly string[]): readonly string[] | undefined {
  const wrong = given.find((id) => !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id));
  if (wrong !== undefined) throw new BadInput('USAGE', `'${wrong}' is not the id of a job: lading job troubled`);
  return given.length === 0 ? undefined : given;
}

async function redrive(
  io: Io,
  chosen: { ids: readonly string[] | undefined; queue: QueueName | undefined },
  reason?: string,
) {
  const act = { by: commandLineActor(), reason, at: systemClock.now() };
  const redriven = await withDatabase(io, ({ kysely }) => redriveJobs(kysely, chosen, act));
  if (redriven > 0 || chosen.ids === undefined) return redriven;
  throw new BadInput('NOT_FOUND', 'no job with these ids failed and waits: lading job troubled');
}

export const job: Command = {
  usage,
  summary: 'how the queues of jobs stand; jobs that failed, and trying them again now',
  async run(args, io) {
    const options = { ...jsonOption, queue: { type: 'string' }, reason: { type: 'string' } } as const;
    const { values, positionals } = parseCommand(args, usage, options);
    const { json, reason } = values;
    const verb = positional({ positionals, usage }, 0, 'list, troubled or redrive');
    const queue = queueOf(values.queue);
    if (verb === 'list') {
      const queues = await withDatabase(io, ({ kysely }) => listQueues(kysely));
      io.print(json ? toJson(queues) : table(queues.map(queueRow), ''));
    } else if (verb === 'troubled') {
      const jobs = await withDatabase(io, ({ kysely }) => listTroubledJobs(kysely, { queue, limit: LISTED }));
      io.print(json ? toJson(jobs) : table(jobs.map(jobRow), 'no job failed when it was last tried'));
    } else if (verb === 'redrive') {
      const redriven = await redrive(io, { ids: idsOf(positionals.slice(1)), queue }, reason);
      io.print(json ? toJson({ redriven }) : `${redriven} jobs are tried again now`);
    } else throw new BadInput('USAGE', `usage: lading ${usage}`);
    return 0;
  },
};
