import { BadInput } from '../errors.ts';
import { listAggregates, type ListedAggregate } from '../aggregate/aggregate-list.ts';
import { sealNow } from '../aggregate/place/stow.ts';
import { systemClock } from '../clock.ts';
import { readConfig } from '../config.ts';
import { auditSeal, commandLineActor } from '../deals/audit.ts';
import { formatBytes } from '../filecoin/units.ts';
import { silentLog } from '../log/log.ts';
import { jsonOption, parseCommand, positional, table, toJson, type Command } from './command.ts';
import type { Io } from '../terminal.ts';
import { withDatabase, withJobs } from './database.ts';

const usage = 'aggregate list | aggregate seal ID [--reason TEXT] [--json]';
const LISTED = 1_000;

function row(one: ListedAggregate): Record<string, string> {
  return {
    id: one.id.toString(),
    state: one.state,
    entries: String(one.entryCount),
    size: one.pieceBytes === null ? '-' : formatBytes(one.pieceBytes),
    'piece CID': one.pieceCid ?? '-',
  };
}

async function sealOne(io: Io, id: string, reason: string | undefined): Promise<string> {
  if (!/^\d{1,18}$/.test(id))
    throw new BadInput('USAGE', `'${id}' is not an aggregate's number: lading aggregate list`);
  const { sealing: rules } = readConfig(io.env, 'tool');
  const alongside = auditSeal(BigInt(id), { by: commandLineActor(), reason }, systemClock.now());
  const outcome = await withJobs(io, ({ kysely }, jobs) =>
    sealNow({ db: kysely, jobs, clock: systemClock, rules, log: silentLog }, BigInt(id), alongside),
  );
  switch (outcome.kind) {
    case 'sealing':
      return `aggregate ${id} is closed; the running service seals it now, or at its next start`;
    case 'empty':
      throw new BadInput('AGGREGATE_EMPTY', `aggregate ${id} holds no upload`);
    case 'not-open':
      return `aggregate ${id} is ${outcome.state} already`;
    case 'unknown':
      throw new BadInput('AGGREGATE_UNKNOWN', `there is no aggregate ${id}: lading aggregate list`);
    default:
      return outcome satisfies never;
  }
}

export const aggregate: Command = {
  usage,
  summary: 'aggregates, and sealing an open one now, whatever its fill',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, { ...jsonOption, reason: { type: 'string' } } as const);
    const verb = positional({ positionals, usage }, 0, 'list or seal');
    if (verb === 'list') {
      const all = await withDatabase(io, ({ kysely }) => listAggregates(kysely, {}, { limit: LISTED }));
      io.print(values.json ? toJson(all) : table(all.map(row), 'no aggregates yet'));
      return 0;
    }
    if (verb !== 'seal') throw new BadInput('USAGE', `usage: lading ${usage}`);
    const said = await sealOne(io, positional({ positionals, usage }, 1, 'ID'), values.reason);
    io.print(values.json ? toJson({ message: said }) : said);
    return 0;
  },
};
