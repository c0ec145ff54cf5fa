import { isIP } from 'node:net';

/** So many at once, and that many again over the window, evenly. */
export interface Rate {
  count: number;
  windowMs: number;
}

export interface AccessSettings {
  /** Proxies whose X-Forwarded-For is believed: addresses, networks, names of ranges. */
  trustProxy: string[];
  /** Web pages that may call all of the API. */
  corsOrigins: string[];
  /** From where /metrics is read without a token. */
  metricsFrom: string[];
  /** What one token, one address, and the faults of one address may do in this process; undefined: no limit. */
  rateLimits: { token: Rate | undefined; public: Rate | undefined; failed: Rate | undefined };
}

/** How config.ts reads a variable, with its default. */
interface Reader {
  read<T>(name: string, fallback: T, parse: (text: string) => T): T;
}

/**
 * An upload service at its fastest never meets the first, which is for loops gone wild. The last leaves guessing hopeless:
 * 600 a minute are 300 million a year, of 10^12 tokens of eight letters and digits.
 */
const DEFAULT_RATES = { token: '600000/m', public: '60000/m', failed: '600/m' };

export function readAccessSettings(reader: Reader): AccessSettings {
  const rate = (name: string, fallback: string) => reader.read(name, parseRate(fallback), parseRate);
  return {
    trustProxy: reader.read('TRUST_PROXY', [], parseNetworks),
    corsOrigins: reader.read('CORS_ORIGINS', [], parseOrigins),
    metricsFrom: reader.read('METRICS_FROM', ['loopback'], parseMetricsFrom),
    rateLimits: {
      token: rate('RATE_LIMIT_TOKEN', DEFAULT_RATES.token),
      public: rate('RATE_LIMIT_PUBLIC', DEFAULT_RATES.public),
      failed: rate('RATE_LIMIT_FAILED', DEFAULT_RATES.failed),
    },
  };
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

/** `60000/m`; `none` for no limit. */
function parseRate(text: string): Rate | undefined {
  if (text === 'none') return undefined;
  const [, count = '', unit = ''] = /^([1-9]\d{0,8})\/([smh])$/.exec(text) ?? [];
  const windowMs = UNITS[unit];
  if (windowMs === undefined) throw new Error(`'${text}' is neither none nor a rate such as 100/s, 60000/m or 500/h`);
  return { count: Number(count), windowMs };
}

/** Names for ranges of addresses, as proxy-addr (inside Fastify) knows them. */
const RANGES = ['loopback', 'linklocal', 'uniquelocal'];

function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  // A range of all addresses would believe whoever calls.
  return bits === undefined || (/^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
}

function parseMetricsFrom(text: string): string[] {
  return text === 'none' ? [] : parseNetworks(text);
}

/** Addresses, networks, or names of ranges. */
function parseNetworks(text: string): string[] {
  return text.split(',').map((part) => {
    const entry = part.trim();
    if (RANGES.includes(entry) || isNetwork(entry)) return entry;
    throw new Error(`'${entry}' is no address, network (10.0.0.0/8) or one of ${RANGES.join(', ')}`);
  });
}

/** Origins of web pages that may call the API; `*` is any. */
function parseOrigins(text: string): string[] {
  return text.split(',').map((part) => {
    const entry = part.trim().replace(/\/$/, '');
    if (entry === '*' || (URL.canParse(entry) && /^https?:/.test(entry) && new URL(entry).origin === entry))
      return entry;
    throw new Error(`'${entry}' is neither * nor an origin such as https://app.example.com`);
  });
}
