import { formatBytes, formatCount, formatDuration, formatFil } from '../format.ts';

/** The terms of the policy as people read them. Pure. */

export type Terms = Readonly<Record<string, string>>;

interface Term {
  label: string;
  help: string;
  kind: 'count' | 'yes' | 'price' | 'epochs' | 'seconds' | 'bytes' | 'providers';
}

const EPOCH_SECONDS = 30;
const DAY_SECONDS = 86_400;

const TERMS: Readonly<Record<string, Term>> = {
  replicas: { label: 'Replicas', help: 'active deals that each aggregate should have', kind: 'count' },
  verified: { label: 'Verified deals', help: 'spends DataCap', kind: 'yes' },
  max_price: { label: 'Highest price', help: 'attoFIL per GiB and epoch', kind: 'price' },
  max_verified_price: { label: 'Highest price, verified', help: 'attoFIL per GiB and epoch', kind: 'price' },
  duration: { label: 'Duration', help: 'epochs, or a time such as 510d', kind: 'epochs' },
  start_delay: {
    label: 'Start delay',
    help: 'time for a provider to fetch, publish and prove: epochs, or 4d',
    kind: 'epochs',
  },
  fast_retrieval: { label: 'Fast retrieval', help: 'asks for an unsealed copy', kind: 'yes' },
  max_per_org: { label: 'Most per organisation', help: 'replicas of one aggregate; none for no cap', kind: 'count' },
  max_per_region: { label: 'Most per region', help: 'replicas of one aggregate; none for no cap', kind: 'count' },
  allow_providers: { label: 'Only these providers', help: 'f01000,f01001; none for all', kind: 'providers' },
  deny_providers: { label: 'Not these providers', help: 'f01000,f01001; none for nobody', kind: 'providers' },
  max_in_flight: {
    label: 'Most in flight',
    help: 'bytes one provider has not published yet, such as 1TiB; none for no cap',
    kind: 'bytes',
  },
  max_proposals_per_hour: { label: 'Most proposals an hour', help: 'to one provider; none for no cap', kind: 'count' },
  renew_before: { label: 'Renew before', help: 'the end of a deal: epochs, or 45d; 0 for never', kind: 'epochs' },
  call_off_after: { label: 'Call off after', help: 'a transfer that does not move: seconds, or 6h', kind: 'seconds' },
  proposing: { label: 'Proposing', help: 'false: nothing new is proposed', kind: 'yes' },
  offline: { label: 'Offline deals', help: 'providers import pieces that you bring them', kind: 'yes' },
  reads_per_second: { label: 'Chain reads a second', help: 'at most, in the daily comparison', kind: 'count' },
};

const GROUPS: readonly (readonly [title: string, names: readonly string[]])[] = [
  ['Replicas and providers', ['replicas', 'max_per_org', 'max_per_region', 'allow_providers', 'deny_providers']],
  ['Deals', ['verified', 'duration', 'start_delay', 'renew_before', 'fast_retrieval', 'offline']],
  ['Prices', ['max_price', 'max_verified_price']],
  ['Pace', ['proposing', 'max_in_flight', 'max_proposals_per_hour', 'call_off_after', 'reads_per_second']],
];

export interface TermGroup {
  title: string;
  names: string[];
}

/** The terms in groups; one that is not known here yet stands at the end, not nowhere. */
export function groupTerms(terms: Terms): TermGroup[] {
  const known = GROUPS.flatMap(([, names]) => names);
  const others = Object.keys(terms).filter((name) => !known.includes(name));
  const groups = GROUPS.map(([title, names]) => ({ title, names: names.filter((name) => name in terms) }));
  return [...groups, { title: 'Others', names: others }].filter(({ names }) => names.length > 0);
}

export function labelOf(name: string): string {
  return TERMS[name]?.label ?? name;
}

export function helpOf(name: string): string {
  return TERMS[name]?.help ?? '';
}

/** Whether it is a yes or a no. */
export function isYesOrNo(name: string): boolean {
  return TERMS[name]?.kind === 'yes';
}

/** Spans of deals are told in days, however many. */
function formatEpochs(epochs: number): string {
  if (epochs === 0) return 'never';
  const seconds = epochs * EPOCH_SECONDS;
  return seconds % DAY_SECONDS === 0 ? `${formatCount(seconds / DAY_SECONDS)} d` : formatDuration(seconds);
}

/** How a whole number of each kind reads. */
const READ_WHOLE: Readonly<Record<Term['kind'], (text: string) => string>> = {
  count: (text) => formatCount(Number(text)),
  yes: (text) => text,
  price: (text) => `${formatFil(text)} per GiB and epoch`,
  epochs: (text) => formatEpochs(Number(text)),
  seconds: (text) => formatDuration(Number(text)),
  bytes: (text) => formatBytes(Number(text)),
  providers: (text) => text,
};
const WORDS: Readonly<Record<string, string>> = { true: 'yes', false: 'no' };
const NONE_OF: Readonly<Record<string, string>> = { allow_providers: 'all', deny_providers: 'nobody' };

/** `510 d`, `50 nanoFIL`, `no cap`; what is not understood as it is. */
export function readableTerm(name: string, text: string): string {
  const kind = TERMS[name]?.kind;
  if (kind === undefined) return text;
  if (text === 'none') return NONE_OF[name] ?? 'no cap';
  if (/^\d+$/.test(text)) return READ_WHOLE[kind](text);
  return WORDS[text] ?? text.replaceAll(',', ', ');
}

export interface TermChange {
  name: string;
  before: string | undefined;
  after: string;
}

/** What is otherwise in `after`. */
export function changedTerms(before: Terms, after: Terms): TermChange[] {
  return Object.entries(after)
    .filter(([name, text]) => before[name] !== text)
    .map(([name, text]) => ({ name, before: before[name], after: text }));
}
