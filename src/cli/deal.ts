import { BadInput } from '../errors.ts';
import { findDeal, listDealEvents, listDeals, type ListedDeal } from '../deals/status/deal-list.ts';
import { jsonOption, parseCommand, positional, table, toJson, type Command } from './command.ts';
import { withDatabase } from './database.ts';

const usage = 'deal list | deal show ID [--json]';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** The newest deals; the rest is for SQL. */
const LISTED = 1_000;

function row(deal: ListedDeal): Record<string, string> {
  return {
    id: deal.id,
    state: deal.state,
    provider: deal.providerId,
    'chain id': deal.chainDealId?.toString() ?? '-',
    aggregate: deal.aggregateId.toString(),
    slot: String(deal.slot),
    changed: deal.changedAt.toISOString(),
    reason: deal.reasonText ?? '',
  };
}

export const deal: Command = {
  usage,
  summary: 'deals in any state, newest first; one deal with everything that happened to it',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, jsonOption);
    const verb = positional({ positionals, usage }, 0, 'list or show');
    if (verb === 'list') {
      const all = await withDatabase(io, ({ kysely }) => listDeals(kysely, { limit: LISTED }));
      io.print(values.json ? toJson(all) : table(all.map(row), 'no deals yet'));
      return 0;
    }
    if (verb !== 'show') throw new BadInput('USAGE', `usage: lading ${usage}`);
    const id = positional({ positionals, usage }, 1, 'ID').toLowerCase();
    if (!UUID.test(id)) throw new BadInput('USAGE', `'${id}' is not a deal's id: lading deal list`);
    const shown = await withDatabase(io, async ({ kysely }) => {
      const found = await findDeal(kysely, id);
      if (found === undefined) throw new BadInput('DEAL_UNKNOWN', `there is no deal ${id}: lading deal list`);
      return { ...found, events: await listDealEvents(kysely, id) };
    });
    if (values.json) io.print(toJson(shown));
    else {
      const events = shown.events.map((event) => ({
        at: event.at.toISOString(),
        change: `${event.from ?? ''} → ${event.to}`.trim(),
        epoch: event.epoch?.toString() ?? '-',
        detail: [event.reasonCode, event.detail].filter(Boolean).join(': '),
      }));
      io.print(`${table([row(shown)], '')}\n\n${table(events, 'nothing happened yet')}`);
    }
    return 0;
  },
};
