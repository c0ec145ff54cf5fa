import { BadInput } from '../../errors.ts';
import { EPOCH_SECONDS } from '../../filecoin/epoch.ts';
import { MAX_DEAL_DURATION_EPOCHS, MIN_DEAL_DURATION_EPOCHS } from '../../filecoin/limits.ts';
import { parseDurationMs } from '../../filecoin/units.ts';

/** What we want of a deal. Prices are attoFIL per GiB per epoch. */
export interface PolicyTerms {
  replicas: number;
  verified: boolean;
  maxPrice: bigint;
  maxVerifiedPrice: bigint;
  durationEpochs: number;
  startDelayEpochs: number;
  fastRetrieval: boolean;
}

/** One version of the policy: never changed, only followed by the next. */
export interface Policy extends PolicyTerms {
  version: number;
}

/** More than any plan asks for; a slip of the finger stops here (the same bound as policies_replicas_sane). */
const MAX_REPLICAS = 100;
/** 14 days: Boost refuses a start further away (MaxDealStartDelay; the same bound as policies_start_delay_sane). */
const MAX_START_DELAY_EPOCHS = 40_320;
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
    parse: (text) => wholeBetween(epochs(text), MIN_DEAL_DURATION_EPOCHS, MAX_DEAL_DURATION_EPOCHS),
  },
  start_delay: { key: 'startDelayEpochs', parse: (text) => wholeBetween(epochs(text), 1, MAX_START_DELAY_EPOCHS) },
  fast_retrieval: { key: 'fastRetrieval', parse: yesOrNo },
};

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

/** Epochs as a number, or a time such as `510d`, as a whole number of epochs in decimal digits. */
function epochs(text: string): string {
  return /^\d+$/.test(text) ? text : String(Math.round(parseDurationMs(text) / (EPOCH_SECONDS * 1000)));
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
 * `POLICY_INVALID` that names the pair and its bounds. `duration` and `start_delay` are epochs, or times such as `510d`.
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

function pickTerms(from: PolicyTerms): PolicyTerms {
  const { replicas, verified, maxPrice, maxVerifiedPrice, durationEpochs, startDelayEpochs, fastRetrieval } = from;
  return { replicas, verified, maxPrice, maxVerifiedPrice, durationEpochs, startDelayEpochs, fastRetrieval };
}

/** The terms by the names that `policy set` takes, each as text. */
export function showPolicy(terms: PolicyTerms): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([name, { key }]) => [name, String(terms[key])]));
}

/** The highest price we pay: attoFIL per GiB per epoch. */
export function priceCap(terms: PolicyTerms): bigint {
  return terms.verified ? terms.maxVerifiedPrice : terms.maxPrice;
}
