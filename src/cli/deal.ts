import { systemClock } from '../clock.ts';
import type { Database } from '../db/connect.ts';
import { abandonDeal, retryDeal } from '../deals/act-on-deal.ts';
import { commandLineActor } from '../deals/audit.ts';
import type { StoredChoice } from '../deals/propose/choice-store.ts';
import { findPolicy } from '../deals/propose/policy-store.ts';
import type { Delivery } from '../deals/send/transfer-store.ts';
import { BadInput, LadingError } from '../errors.ts';
import { epochAt, epochTime } from '../filecoin/epoch.ts';
import { MAX_DEAL_DURATION_EPOCHS } from '../filecoin/limits.ts';
import { EPOCH_SECONDS } from '../filecoin/networks.ts';
import { formatBytes, formatDuration, parseDurationMs } from '../filecoin/units.ts';
import type { Io } from '../terminal.ts';
import { findDealDetail } from '../deals/status/deal-detail.ts';
import { findDeal, listDeals, type ListedDeal } from '../deals/status/deal-list.ts';
import { jsonOption, parseCommand, positional, table, toJson, type Command } from './command.ts';
import { withDatabase, withJobs } from './database.ts';
import { offlineDeals } from './deal-manifest.ts';

const usage =
  'deal list [--offline [--csv]] | deal show ID | deal retry ID [--reason TEXT] | deal abandon ID [--reason TEXT] | deal expiring [--within 45d] [--json]';
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

function parseId(text: string): string {
  const id = text.toLowerCase();
  if (!UUID.test(id)) throw new BadInput('USAGE', `'${id}' is not a deal's id: lading deal list`);
  return id;
}

async function listAll(io: Io): Promise<ListedDeal[]> {
  return withDatabase(io, ({ kysely }) => listDeals(kysely, {}, { limit: LISTED }));
}

function found<T>(id: string, deal: T | undefined): T {
  if (deal === undefined) throw new BadInput('DEAL_UNKNOWN', `there is no deal ${id}: lading deal list`);
  return deal;
}

function choiceRows({ at, chosen, refused }: StoredChoice): Record<string, string>[] {
  const decided = at.toISOString();
  return [
    ...chosen.map(({ provider, slot, reasons }) => ({
      decided,
      provider,
      decision: `slot ${slot}`,
      why: reasons.join('; '),
    })),
    ...refused.map(({ provider, reason }) => ({ decided, provider, decision: 'not chosen', why: reason })),
  ];
}

/** What its provider fetched, and what it says: neither makes it a deal. */
function deliveryRows(delivery: Delivery | undefined): Record<string, string>[] {
  const { transfer, said } = delivery ?? {};
  if (transfer === undefined && said === undefined) return [];
  return [
    {
      fetched: transfer === undefined ? '-' : formatBytes(transfer.servedBytes),
      'of 64 MiB ranges': transfer === undefined ? '-' : `${transfer.servedRanges} of ${transfer.ranges}`,
      moved: transfer?.movedAt.toISOString() ?? '-',
      asked: said?.at.toISOString() ?? '-',
      'its provider says': said?.status ?? '-',
    },
  ];
}

async function show(io: Io, id: string, json: boolean): Promise<string> {
  const shown = found(id, await withDatabase(io, ({ kysely }) => findDealDetail(kysely, id)));
  if (json) return toJson(shown);
  const events = shown.events.map((event) => ({
    at: event.at.toISOString(),
    change: `${event.from ?? ''} → ${event.to}`.trim(),
    epoch: event.epoch?.toString() ?? '-',
    detail: [event.reasonCode, event.detail].filter(Boolean).join(': '),
  }));
  const choices = shown.choices.flatMap(choiceRows);
  return [
    table([row(shown)], ''),
    table(deliveryRows(shown.delivery), 'nothing of the piece was fetched, and its provider has said nothing'),
    table(events, 'nothing happened yet'),
    table(choices, 'no choice is kept'),
  ].join('\n\n');
}

async function act(io: Io, id: string, given: { verb: 'retry' | 'abandon'; reason: string | undefined }) {
  const { verb, reason } = given;
  const perform = verb === 'retry' ? retryDeal : abandonDeal;
  return withJobs(io, async (database, jobs) => {
    const deps = { db: database.kysely, jobs, clock: systemClock };
    await perform(deps, id, { by: commandLineActor(), reason });
    return found(id, await findDeal(database.kysely, id));
  });
}

/** When the network began; a devnet's is kept at first contact with it. */
async function readGenesis({ kysely }: Pick<Database, 'kysely'>): Promise<number> {
  const network = await kysely.selectFrom('network').select('genesis_seconds').executeTakeFirst();
  const seconds = network?.genesis_seconds ?? null;
  if (seconds === null)
    throw new LadingError('NETWORK_UNKNOWN', 'no chain is known yet: start the service with CHAIN_RPC_URL once');
  return Number(seconds);
}

/** No deal runs longer. */
const MAX_WITHIN_MS = MAX_DEAL_DURATION_EPOCHS * EPOCH_SECONDS * 1_000;

function parseWithin(text: string): number {
  try {
    const withinMs = parseDurationMs(text);
    if (withinMs <= MAX_WITHIN_MS) return withinMs;
  } catch (cause) {
    throw new BadInput('USAGE', `--within: '${text}' is not a time such as 45d`, { cause });
  }
  throw new BadInput('USAGE', `--within: no deal runs longer than ${formatDuration(MAX_WITHIN_MS)}`);
}

/** Active deals by their end, soonest first. */
async function listExpiring(io: Io, within: string | undefined) {
  return withDatabase(io, async (database) => {
    const { renewBeforeEpochs } = await findPolicy(database.kysely);
    const withinMs = within === undefined ? renewBeforeEpochs * EPOCH_SECONDS * 1000 : parseWithin(within);
    const genesis = await readGenesis(database);
    const endsBy = epochAt(genesis, new Date(systemClock.now().getTime() + withinMs));
    const deals = await listDeals(database.kysely, { endsBy }, { soonestFirst: true, limit: LISTED });
    return deals.map((one) => ({ ...one, ends: epochTime(genesis, one.endEpoch) }));
  });
}

async function expiring(io: Io, { within, json }: { within: string | undefined; json: boolean }): Promise<string> {
  const deals = await listExpiring(io, within);
  if (json) return toJson(deals);
  const rows = deals.map((one) => ({ ends: one.ends.toISOString(), ...row(one) }));
  return table(rows, 'no deal ends within that time');
}

export const deal: Command = {
  usage,
  summary: 'deals in any state; one with everything that happened to it; those that end soon; trying again, giving up',
  async run(args, io) {
    const options = {
      ...jsonOption,
      reason: { type: 'string' },
      within: { type: 'string' },
      offline: { type: 'boolean', default: false },
      csv: { type: 'boolean', default: false },
    } as const;
    const { values, positionals } = parseCommand(args, usage, options);
    const { json, within, reason } = values;
    const verb = positional({ positionals, usage }, 0, 'list, show, retry, abandon or expiring');
    const id = () => parseId(positional({ positionals, usage }, 1, 'ID'));
    const render = (deals: ListedDeal[]) => (json ? toJson(deals) : table(deals.map(row), 'no deals yet'));
    if (verb === 'list' && values.offline) io.print(await offlineDeals(io, values));
    else if (verb === 'list') io.print(render(await listAll(io)));
    else if (verb === 'show') io.print(await show(io, id(), json));
    else if (verb === 'expiring') io.print(await expiring(io, { within, json }));
    else if (verb === 'retry' || verb === 'abandon') io.print(render([await act(io, id(), { verb, reason })]));
    else throw new BadInput('USAGE', `usage: lading ${usage}`);
    return 0;
  },
};
