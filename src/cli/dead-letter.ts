import { systemClock } from '../clock.ts';
import { commandLineActor } from '../deals/audit.ts';
import { BadInput } from '../errors.ts';
import { listDeadLetters, redriveByHand, type DeadLetter } from '../events/dead-letter-store.ts';
import type { Io } from '../terminal.ts';
import { jsonOption, parseCommand, positional, table, toJson, type Command } from './command.ts';
import { withDatabase } from './database.ts';

const usage = 'dead-letter list [--webhook ID] | dead-letter redrive [ID…] [--webhook ID] [--reason TEXT] [--json]';

/** A person reads no more. */
const LISTED = 200;

function row(letter: DeadLetter): Record<string, string> {
  return {
    id: letter.id.toString(),
    webhook: letter.webhookId,
    owner: letter.owner,
    url: letter.url,
    changes: String(letter.changes),
    tries: String(letter.attempts),
    died: letter.diedAt.toISOString(),
    error: letter.redriving ? `is tried once more; ${letter.error}` : letter.error,
  };
}

function webhookOf(id: string | undefined): string | undefined {
  if (id === undefined || /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) return id;
  throw new BadInput('USAGE', `--webhook: '${id}' is not the id of a webhook`);
}

function idsOf(given: readonly string[]): readonly bigint[] | undefined {
  const wrong = given.find((id) => !/^[0-9]{1,18}$/.test(id));
  if (wrong !== undefined)
    throw new BadInput('USAGE', `'${wrong}' is not the id of a dead letter: lading dead-letter list`);
  return given.length === 0 ? undefined : given.map(BigInt);
}

async function redrive(
  io: Io,
  chosen: { ids: readonly bigint[] | undefined; webhookId: string | undefined },
  reason?: string,
) {
  const act = { by: commandLineActor(), reason, at: systemClock.now() };
  const redriven = await withDatabase(io, ({ kysely }) => redriveByHand(kysely, chosen, act));
  if (redriven > 0 || chosen.ids === undefined) return redriven;
  throw new BadInput('NOT_FOUND', 'there are no dead letters with these ids: lading dead-letter list');
}

export const deadLetter: Command = {
  usage,
  summary: 'calls of webhooks that were given up, and trying them once more',
  async run(args, io) {
    const options = { ...jsonOption, webhook: { type: 'string' }, reason: { type: 'string' } } as const;
    const { values, positionals } = parseCommand(args, usage, options);
    const { json, reason } = values;
    const verb = positional({ positionals, usage }, 0, 'list or redrive');
    const webhookId = webhookOf(values.webhook);
    if (verb === 'list') {
      const wanted = { webhookId, afterId: 0n, limit: LISTED };
      const letters = await withDatabase(io, ({ kysely }) => listDeadLetters(kysely, wanted));
      io.print(json ? toJson(letters) : table(letters.map(row), 'no call of a webhook was given up'));
    } else if (verb === 'redrive') {
      const redriven = await redrive(io, { ids: idsOf(positionals.slice(1)), webhookId }, reason);
      io.print(json ? toJson({ redriven }) : `${redriven} dead letters are tried once more`);
    } else throw new BadInput('USAGE', `usage: lading ${usage}`);
    return 0;
  },
};
