import { BadInput } from '../../errors.ts';
import { EPOCH_SECONDS } from '../../filecoin/networks.ts';
import { MAX_DEAL_DURATION_EPOCHS, MIN_DEAL_DURATION_EPOCHS } from '../../filecoin/limits.ts';
import { formatBytes, formatDuration, parseBytes, parseDurationMs } from '../../filecoin/units.ts';

/** What we want of a deal. Prices are attoFIL per GiB per epoch. */
export interface PolicyTerms {
  replicas: number;
  verified: boolean;
  maxPrice: bigint;
  maxVerifiedPrice: bigint;
  durationEpochs: number;
  startDelayEpochs: number;
  fastRetrieval: boolean;
  /** Most replicas of one aggregate at one org (label, else owner on chain), and in one region; undefined: any number. */
  maxPerOrg: number | undefined;
  maxPerRegion: number | undefined;
  /** `f0…`. When any are allowed by name, the others are not. */
  allowProviders: string[];
  denyProviders: string[];
  /** Padded bytes of proposals to one provider that are not published yet; undefined: no cap. */
  maxInFlightBytes: bigint | undefined;
  maxProposalsPerHour: number | undefined;
  /** A deal that ends within so many epochs gets its next generation; 0: none is renewed. */
  renewBeforeEpochs: number;
  /** A transfer that has not begun or does not move for so long is called off. */
  callOffAfterSeconds: number;
  /** False: nothing new is proposed; what is in flight goes on. */
  proposing: boolean;
  /** Providers bring the bytes in by hand. */
  offline: boolean;
  /** Live deals read by id from the chain each second, at most, in the daily comparison. */
  readsPerSecond: number;
}

/** One version of the policy: never changed, only followed by the next. */
export interface Policy extends PolicyTerms {
  version: number;
}

/** More than any plan asks for; a slip of the finger stops here (the same bound as policies_replicas_sane). */
const MAX_REPLICAS = 100;
/** 14 days: Boost refuses a start further away (MaxDealStartDelay; the same bound as policies_start_delay_sane). */
const MAX_START_DELAY_EPOCHS = 40_320;
/** 180 days: the shortest deal (the same bound as policies_renewal_sane). */
const MAX_RENEW_BEFORE_EPOCHS = 518_400;
/** A provider needs this long to answer at all (the same bound as policies_call_off_sane). */
const MIN_CALL_OFF_SECONDS = 60;
/** A month: no transfer that still lives stands still longer. */
const MAX_CALL_OFF_SECONDS = 30 * 86_400;
/** What an integer column holds; a rate beyond it is none. */
const MAX_INTEGER = 2 ** 31 - 1;
/** Far above what any node answers (the same bound as policies_reads_sane). */
const MAX_READS_PER_SECOND = 10_000;
/** A list longer than this is a policy of allowing the others. */
const MAX_LISTED_PROVIDERS = 1_000;
/** numeric(40, 0) holds no more digits. */
const MAX_PRICE_DIGITS = 39;

type Field = { [K in keyof PolicyTerms]: { key: K; parse: (text: string) => PolicyTerms[K] } }[keyof PolicyTerms];

/** The names of `lading policy show` and `lading policy set`, in the order in which they are shown. */
const fields: Record<string, Field> = {
  replicas: { key: 'replicas', parse: (text) => wholeBetween(text, 1, MAX_REPLICAS) },
  verified: { key: 'verified', parse: yesOrNo },
  max_price: { key: 'maxPrice', parse: price },
  max_verified_price: { key: 'maxVerifiedPrice', parse: price },
  duration: {
    key: 'durationEpochs',
    parse: (text) => epochsBetween(text, MIN_DEAL_DURATION_EPOCHS, MAX_DEAL_DURATION_EPOCHS),
  },
  start_delay: { key: 'startDelayEpochs', parse: (text) => epochsBetween(text, 1, MAX_START_DELAY_EPOCHS) },
  fast_retrieval: { key: 'fastRetrieval', parse: yesOrNo },
  max_per_org: { key: 'maxPerOrg', parse: orNone((text) => wholeBetween(text, 1, MAX_REPLICAS)) },
  max_per_region: { key: 'maxPerRegion', parse: orNone((text) => wholeBetween(text, 1, MAX_REPLICAS)) },
  allow_providers: { key: 'allowProviders', parse: providerList },
  deny_providers: { key: 'denyProviders', parse: providerList },
  max_in_flight: { key: 'maxInFlightBytes', parse: orNone(someBytes) },
  max_proposals_per_hour: { key: 'maxProposalsPerHour', parse: orNone((text) => wholeBetween(text, 1, MAX_INTEGER)) },
  renew_before: { key: 'renewBeforeEpochs', parse: (text) => epochsBetween(text, 0, MAX_RENEW_BEFORE_EPOCHS) },
  call_off_after: {
    key: 'callOffAfterSeconds',
    parse: (text) => wholeBetween(seconds(text), MIN_CALL_OFF_SECONDS, MAX_CALL_OFF_SECONDS),
  },
  proposing: { key: 'proposing', parse: yesOrNo },
  offline: { key: 'offline', parse: yesOrNo },
  reads_per_second: { key: 'readsPerSecond', parse: (text) => wholeBetween(text, 1, MAX_READS_PER_SECOND) },
};

const NONE = 'none';

/** `none` takes a cap away. */
function orNone<T>(parse: (text: string) => T): (text: string) => T | undefined {
  return (text) => (text === NONE ? undefined : parse(text));
}

/** `f01000,f01001`, written with `f` or `t`; `none` or nothing for an empty list. Sorted, each once. */
function providerList(text: string): string[] {
  if (text === NONE || text === '') return [];
  const ids = text.split(',').map((one) => one.trim());
  const wrong = ids.find((id) => !/^[ft]0\d{1,18}$/.test(id));
  if (wrong !== undefined) throw new Error(`must be provider ids such as f01000,f01001: '${wrong}' is none`);
  const unique = [...new Set(ids.map((id) => `f${id.slice(1)}`))].sort();
  if (unique.length > MAX_LISTED_PROVIDERS) throw new Error(`must be no more than ${MAX_LISTED_PROVIDERS} providers`);
  return unique;
}

function someBytes(text: string): bigint {
  const bytes = /^\d+$/.test(text) ? BigInt(text) : parseBytes(text);
  if (bytes < 1n || bytes > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error('must be a size such as 1TiB, above 0');
  return bytes;
}

function wholeBetween(text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max)
    throw new Error(`must be a whole number from ${min} to ${max}`);
  return value;
}

function yesOrNo(text: string): boolean {
  if (text !== 'true' && text !== 'false') throw new Error('must be true or false');
  return text === 'true';
}

function price(text: string): bigint {
  if (!/^\d+$/.test(text) || text.length > MAX_PRICE_DIGITS) {
    throw new Error('must be a whole number of attoFIL per GiB per epoch');
  }
  return BigInt(text);
}

const EPOCH_MS = EPOCH_SECONDS * 1_000;

/** Epochs as a number, or a time such as `510d`. */
function epochsBetween(text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Math.round(parseDurationMs(text) / EPOCH_MS);
  if (value >= min && value <= max) return value;
  const times = `${formatDuration(min * EPOCH_MS)} to ${formatDuration(max * EPOCH_MS)}`;
  throw new Error(`must be from ${min} to ${max} epochs (${times})`);
}

/** Seconds as a number, or a time such as `6h`. */
function seconds(text: string): string {
  return /^\d+$/.test(text) ? text : String(Math.round(parseDurationMs(text) / 1000));
}

function parsePair(pair: string): Partial<PolicyTerms> {
  const [name = '', ...rest] = pair.split('=');
  const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (field === undefined || rest.length === 0) {
    throw new BadInput('POLICY_INVALID', `'${pair}' is not one of ${Object.keys(fields).join('=…, ')}=…`);
  }
  const text = rest.join('=');
  try {
    return { [field.key]: field.parse(text) };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BadInput('POLICY_INVALID', `${name}: '${text}' ${why}`, { cause });
  }
}

/**
 * The terms `current` with the given `key=value` pairs changed (`replicas=1 verified=false max_price=…`), or a BadInput
 * `POLICY_INVALID` that names the pair and its bounds. Spans of epochs are numbers, or times such as `510d`.
 */
export function changePolicy(current: PolicyTerms, pairs: string[]): PolicyTerms {
  const changes = pairs.map(parsePair);
  const terms: PolicyTerms = Object.assign({}, pickTerms(current), ...changes);
  // An SP refuses an end more than the longest duration after the current epoch, not after the deal's start.
  if (terms.durationEpochs + terms.startDelayEpochs > MAX_DEAL_DURATION_EPOCHS) {
    throw new BadInput(
      'POLICY_INVALID',
      `duration + start_delay is ${terms.durationEpochs + terms.startDelayEpochs} epochs; a deal may end at most ` +
        `${MAX_DEAL_DURATION_EPOCHS} epochs from now: choose a shorter duration`,
    );
  }
  return terms;
}

/** The terms alone, without the version of the policy that has them. */
function pickTerms(from: PolicyTerms): PolicyTerms {
  const { version: _version, ...terms }: PolicyTerms & { version?: number } = from;
  return terms;
}

function show(value: PolicyTerms[keyof PolicyTerms]): string {
  if (Array.isArray(value)) return value.join(',') || NONE;
  return value === undefined ? NONE : String(value);
}

/** The terms by the names that `policy set` takes, each as text. */
export function showPolicy(terms: PolicyTerms): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([name, { key }]) => [name, show(terms[key])]));
}

/** What a term means in units that people know; undefined where its value says all there is. */
export function explainTerm(terms: PolicyTerms, name: string): string | undefined {
  const span = (epochs: number) => `epochs: ${formatDuration(epochs * EPOCH_MS)}`;
  switch (name) {
    case 'max_price':
    case 'max_verified_price':
      return 'attoFIL per GiB and epoch';
    case 'duration':
      return span(terms.durationEpochs);
    case 'start_delay':
      return span(terms.startDelayEpochs);
    case 'renew_before':
      return terms.renewBeforeEpochs === 0 ? 'no deal is renewed' : span(terms.renewBeforeEpochs);
    case 'call_off_after':
      return `seconds: ${formatDuration(terms.callOffAfterSeconds * 1_000)}`;
    case 'max_in_flight':
      return terms.maxInFlightBytes === undefined ? undefined : `bytes: ${formatBytes(terms.maxInFlightBytes)}`;
    default:
      return undefined;
  }
}

/** The highest price we pay: attoFIL per GiB per epoch. */
export function priceCap(terms: PolicyTerms): bigint {
  return terms.verified ? terms.maxVerifiedPrice : terms.maxPrice;
}
