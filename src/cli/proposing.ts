import { systemClock } from '../clock.ts';
import { commandLineActor } from '../deals/audit.ts';
import { findProposing, setProposing, type Proposing } from '../deals/propose/pause.ts';
import { BadInput } from '../errors.ts';
import type { Io } from '../terminal.ts';
import { wakeProposals } from '../running/wake-proposals.ts';
import { jsonOption, parseCommand, positional, printable, toJson, type Command } from './command.ts';
import { withDatabase, withJobs } from './database.ts';

const usage = 'proposing show|pause|resume [--reason TEXT] [--json]';

async function turn(io: Io, wanted: boolean, reason: string | undefined): Promise<Proposing> {
  return withJobs(io, async ({ kysely }, jobs) => {
    const act = { by: commandLineActor(), reason, at: systemClock.now() };
    const changed = await setProposing(kysely, wanted, act);
    if (changed && wanted) await wakeProposals(kysely, jobs);
    return findProposing(kysely);
  });
}

function sentence({ proposing, since, by, reason }: Proposing): string {
  const why = reason === null ? '' : `: ${printable(reason)}`;
  const what = proposing ? 'deals are proposed' : 'nothing new is proposed, and deals in flight go on';
  return `${what}, since ${since.toISOString()} by ${by}${why}`;
}

export const proposing: Command = {
  usage,
  summary: 'whether deals are proposed at all; pausing and resuming all of it',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, { ...jsonOption, reason: { type: 'string' } } as const);
    const verb = positional({ positionals, usage }, 0, 'show, pause or resume');
    if (verb !== 'show' && verb !== 'pause' && verb !== 'resume') throw new BadInput('USAGE', `usage: lading ${usage}`);
    const found =
      verb === 'show'
        ? await withDatabase(io, ({ kysely }) => findProposing(kysely))
        : await turn(io, verb === 'resume', values.reason);
    io.print(values.json ? toJson(found) : sentence(found));
    return 0;
  },
};
