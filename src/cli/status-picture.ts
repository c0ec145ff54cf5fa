import type { Change } from '../client/watch.ts';
import type { Deal, EtaActive, Queueing, UploadStatus } from '../client/upload-status.ts';
import { formatBytes, formatDuration } from '../filecoin/units.ts';
import { printable, table } from './command.ts';

/** What is awaited, in the words of a person; codes that are not here are shown as they are. */
const REASONS: Record<string, string> = {
  incomplete: 'the rest of its blocks',
  failed: 'nothing any more: it failed',
  removed: 'nothing any more: it was removed',
  waiting_for_aggregate: 'a place in an aggregate',
  aggregate_filling: 'more uploads for its aggregate',
  waiting_for_age: 'its aggregate to be closed by time',
  sealing: 'its aggregate to be sealed',
  waiting_for_provider: 'a storage provider',
  waiting_for_datacap: 'DataCap',
  waiting_for_escrow: 'money in the market',
  waiting_for_chain: 'the chain, which cannot be read now',
  proposing_paused: 'the operator, who has paused all proposing',
  bytes_released: 'nothing any more: its bytes were let go',
};

/** Nothing comes after these, so that nobody need wait. */
const OVER = new Set(['failed', 'removed', 'bytes_released']);

/** Pure: an upload's status for a person, line by line. */
export function* statusPicture(status: UploadStatus, now: Date): Generator<string> {
  const { pin, deals, queueing, asOf, degraded = [] } = status;
  const etaActive = status.etaActive ?? (OVER.has(queueing?.reason ?? '') ? undefined : queueing?.etaActive);
  yield status.cid;
  yield row('stored', storedText(pin));
  if (queueing !== undefined) yield* queueingLines(queueing, now);
  if (etaActive !== undefined) yield row('active', etaText(etaActive, now));
  for (const fault of degraded) yield row('beware', printable(fault));
  if (asOf !== undefined) yield row('', `nothing newer is known than ${utcText(asOf)}`);
  if (deals.length > 0) yield `\n${table(deals.map(dealRow), '')}`;
}

function row(name: string, text: string): string {
  return `${name.padEnd(10)}${text}`;
}

function storedText({ status, size, created }: UploadStatus['pin']): string {
  const came = `came ${utcText(created)}`;
  if (status === 'pinned') return `yes, ${formatBytes(size)}, ${came}`;
  const not = size > 0 ? 'not pinned yet' : 'not all of it yet';
  return `${status === 'failed' ? 'no' : not} (${status}), ${came}`;
}

function* queueingLines(queueing: Queueing, now: Date): Generator<string> {
  const { parts, missing, failure, lastRefusal, sealsBy, why = [] } = queueing;
  yield row('awaits', awaitsText(queueing));
  if (parts !== undefined) yield row('', `${parts.placed} of its ${parts.total} parts lie in an aggregate`);
  if (missing !== undefined) yield row('missing', `${missing.count} blocks, the first is ${missing.first}`);
  if (failure !== undefined) yield row('failed', printable(failure));
  for (const { providers, text } of why) {
    yield row('', `${providers > 0 ? `${providers} providers: ` : ''}${printable(text)}`);
  }
  if (lastRefusal !== undefined) {
    const { miner, text, at } = lastRefusal;
    yield row('refused', `by ${miner} at ${utcText(at)}: ${printable(text)}`);
  }
  if (sealsBy !== null) yield row('sealed by', aheadText(sealsBy, now));
}

function awaitsText({ reason, position, aggregateFill }: Queueing): string {
  const text = REASONS[reason];
  const code = text === undefined ? [] : [reason];
  const fill = aggregateFill === null ? [] : [`${Math.round(aggregateFill * 100)} % full`];
  const place = position === null ? [] : [`place ${position}`];
  const details = [...code, ...fill, ...place].join(', ');
  return `${text ?? printable(reason)}${details === '' ? '' : ` (${details})`}`;
}

function etaText({ p50, p95 }: EtaActive, now: Date): string {
  if (p50 === null || p95 === null) return 'nobody knows when: there is not enough history';
  return `likely by ${aheadText(p50, now)}; 19 of 20 are by ${aheadText(p95, now)}`;
}

function dealRow(deal: Deal): Record<string, string> {
  return {
    DEAL: deal.chainDealID === null ? '-' : String(deal.chainDealID),
    PROVIDER: deal.miner,
    STATUS: deal.status === deal.stage ? deal.status : `${deal.status} (${deal.stage})`,
    'CHANGED (UTC)': timeText(deal.lastChanged),
    'EXPIRES (UTC)': timeText(deal.dealExpiration),
    WHAT: deal.statusText,
  };
}

/** Pure: one change as a line. */
export function changeLine({ at, kind, from, to, reason, deal }: Change): string {
  const step = from === null || from === to ? to : `${from} → ${to}`;
  const what = deal === undefined ? kind : `${dealName(deal.chainDealID)} with ${deal.miner}`;
  const because = reason === undefined || reason === '' ? '' : ` (${reason})`;
  return printable(`${utcText(at)}  ${what}: ${step}${because}`);
}

function dealName(chainDealID: number | null): string {
  return chainDealID === null ? 'deal' : `deal ${chainDealID}`;
}

/** `2024-05-01 12:00:03`, in UTC as everywhere on the chain. */
function timeText(iso: string): string {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? printable(iso) : at.toISOString().slice(0, 19).replace('T', ' ');
}

function utcText(iso: string): string {
  return `${timeText(iso)} UTC`;
}

function aheadText(iso: string, now: Date): string {
  const seconds = Math.floor((new Date(iso).getTime() - now.getTime()) / 1_000);
  return seconds > 0 ? `${utcText(iso)} (in ${formatDuration(seconds * 1_000)})` : utcText(iso);
}
