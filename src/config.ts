import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { SealRules } from './aggregate/place/placement-rules.ts';
import { isNetworkName, type NetworkName } from './filecoin/networks.ts';
import { pieceCapacity } from './filecoin/piece.ts';
import { formatBytes, parseBytes, parseDurationMs } from './filecoin/units.ts';
import { LadingError } from './errors.ts';
import type { LogLevel } from './log/log.ts';
import { isNetwork } from './public-address.ts';
import { parseS3Url, type S3Place } from './storage/s3-url.ts';
import { readAccessSettings, type AccessSettings } from './access-settings.ts';

const roles = ['api', 'aggregate', 'deals', 'watch'] as const;
type Role = (typeof roles)[number];

export const tokenRoles = ['upload', 'ops', 'read'] as const;
export type TokenRole = (typeof tokenRoles)[number];

export function isTokenRole(text: string): text is TokenRole {
  return tokenRoles.some((role) => role === text);
}

export interface ApiToken {
  name: string;
  role: TokenRole;
  token: string;
}

interface RpcEndpoint {
  url: string;
  token?: string;
}

export interface Config extends AccessSettings {
  host: string;
  port: number;
  /** Undefined: where the API listens. */
  publicUrl: string | undefined;
  apiTokens: ApiToken[];
  dataDir: string;
  /** Undefined: the embedded PostgreSQL in dataDir. */
  databaseUrl: string | undefined;
  storeUrl: string;
  rpcEndpoints: RpcEndpoint[];
  /** Undefined: made once in dataDir. */
  tokenSecret: string | undefined;
  network: NetworkName;
  wallet: string | undefined;
  roles: Role[];
  sealing: SealRules;
  maxUploadBytes: bigint;
  minFreeBytes: bigint;
  /** Stored bytes from which on uploads are refused; undefined: none. */
  storeQuotaBytes: bigint | undefined;
  /** How long all wanted replicas of an aggregate are active before its bytes go; undefined: they stay for ever. */
  retentionMs: number | undefined;
  /** Stored bytes read again in a second, to see whether they are sound; 0: none. */
  scrubBytesPerSecond: number;
  /** An incomplete upload that gets no new part for so long fails. */
  uploadTimeoutMs: number;
  lookbackEpochs: number;
  publicCheck: boolean;
  /** Trustless gateways and a Kubo node to fetch from what is pinned by CID. */
  ipfsSources: { gatewayUrls: string[]; kuboUrl: string | undefined };
  /** Where webhooks may go, and how long a call that fails is tried again. */
  webhooks: { allowPrivate: boolean; retryForMs: number };
  /** Where uploads by URL, and blocks from origins of pins, may come from besides the public internet, and buckets that our own credentials read. */
  pulls: { allowPrivate: boolean; networks: string[]; s3Places: S3Place[] };
  /** Whether providers may be dialed at addresses that are not of the public internet; on a devnet they always may. */
  allowPrivateProviders: boolean;
  /** Where uploads are pinned; undefined: the service itself is the pin. */
  ipfsCluster: { url: string; token: string | undefined } | undefined;
  /** Bytes of pieces served in a second, all connections together; undefined: no cap. */
  pieceRate: number | undefined;
  logLevel: LogLevel;
}

export type Env = Record<string, string | undefined>;

const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];
/** A secret shorter than this can be guessed offline from one piece token. */
const MIN_SECRET_CHARS = 32;
/** Shorter tokens can be tried out over the network. */
const MIN_TOKEN_CHARS = 8;
/** 2^30 bytes is the largest sector's half; no network takes a larger piece than 64 GiB. */
const MAX_PIECE_BYTES = 64n * 2n ** 30n;

/** Reads values one by one and gathers what is wrong with them, so that all faults are told at once. */
class EnvReader {
  readonly faults: string[] = [];
  readonly #env: Env;

  constructor(env: Env) {
    this.#env = env;
  }

  text(name: string): string | undefined {
    const value = this.#env[name]?.trim();
    return value === '' ? undefined : value;
  }

  /** The parsed value, or the default when unset; a value that does not parse is a fault, never the default. */
  read<T>(name: string, fallback: T, parse: (text: string) => T): T {
    const text = this.text(name);
    if (text === undefined) return fallback;
    try {
      return parse(text);
    } catch (error) {
      this.faults.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      return fallback;
    }
  }
}

function parseWhole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new Error(`'${text}' is not a whole number from ${min} to ${max}`);
    }
    return value;
  };
}

function parseOneOf<T extends string>(allowed: readonly T[]): (text: string) => T {
  return (text) => {
    const found = allowed.find((value) => value === text);
    if (found === undefined) throw new Error(`'${text}' is none of ${allowed.join(', ')}`);
    return found;
  };
}

function parseYes(text: string): boolean {
  return parseOneOf(['true', 'false'])(text) === 'true';
}

function parseHttpUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new Error(`'${text}' is not an http(s) URL such as https://lading.example.com`);
  }
  return text.replace(/\/+$/, '');
}

function parseTokens(text: string): ApiToken[] {
  const tokens = text.split(',').map((entry) => {
    const [name = '', role = '', ...rest] = entry.trim().split(':');
    const token = rest.join(':');
    if (name === '' || token === '') throw new Error('each entry is name:role:token, separated by commas');
    if (token.length < MIN_TOKEN_CHARS)
      throw new Error(`the token of '${name}' has fewer than ${MIN_TOKEN_CHARS} characters`);
    return { name, role: parseOneOf(tokenRoles)(role), token };
  });
  const names = new Set(tokens.map(({ name }) => name));
  if (names.size !== tokens.length) throw new Error('two entries have the same name');
  // Whoever sends it would be the first of the two, and the second nobody.
  if (new Set(tokens.map(({ token }) => token)).size !== tokens.length)
    throw new Error('two entries have the same token');
  return tokens;
}

function parseStoreUrl(text: string): string {
  // Never repeated: a secret may be in it.
  if (!URL.canParse(text)) throw new Error('is not a URL such as file:///srv/lading');
  const { protocol } = new URL(text);
  if (protocol === 's3:') parseS3Url(text);
  else if (protocol !== 'file:')
    throw new Error(`'${protocol}' is not a store we know: use file:///path or s3://bucket`);
  return text;
}

function parseEndpoints(reader: EnvReader): RpcEndpoint[] {
  const urls = reader.read('CHAIN_RPC_URL', [] as string[], (text) =>
    text.split(',').map((url) => parseHttpUrl(url.trim())),
  );
  const tokens = reader.text('CHAIN_RPC_TOKEN')?.split(',') ?? [];
  if (tokens.length > urls.length) reader.faults.push('CHAIN_RPC_TOKEN: more tokens than URLs in CHAIN_RPC_URL');
  return urls.map((url, at) => {
    const token = tokens[at]?.trim();
    return token ? { url, token } : { url };
  });
}

/** Where blocks come from that are pinned by CID. */
function readIpfsSources(reader: EnvReader): Config['ipfsSources'] {
  const parseUrls = (text: string) => text.split(',').map((url) => parseHttpUrl(url.trim()));
  return {
    gatewayUrls: reader.read('IPFS_GATEWAY_URL', [] as string[], parseUrls),
    kuboUrl: reader.read('IPFS_KUBO_URL', undefined as string | undefined, parseHttpUrl),
  };
}

function readIpfsCluster(reader: EnvReader): Config['ipfsCluster'] {
  const url = reader.read('IPFS_CLUSTER_URL', undefined as string | undefined, parseHttpUrl);
  const token = reader.text('IPFS_CLUSTER_TOKEN');
  if (token !== undefined && reader.text('IPFS_CLUSTER_URL') === undefined) {
    reader.faults.push('IPFS_CLUSTER_TOKEN: set without IPFS_CLUSTER_URL, so that nobody would be sent it');
  }
  return url === undefined ? undefined : { url, token };
}

/** `LADING_PULL_ALLOW=10.0.0.0/8,192.168.7.1/32`, or `all`. */
function readPulls(reader: EnvReader): Config['pulls'] {
  const allowed = reader.read('LADING_PULL_ALLOW', [] as string[], (text) => {
    const networks = text.split(',').map((one) => one.trim());
    const bad = networks.find((one) => one !== 'all' && !isNetwork(one));
    if (bad !== undefined) throw new Error(`'${bad}' is neither a network such as 10.0.0.0/8 nor all`);
    return networks;
  });
  const s3Places = reader.read('LADING_PULL_S3', [] as S3Place[], (text) =>
    text.split(',').map((url) => parseS3Url(url.trim())),
  );
  return { allowPrivate: allowed.includes('all'), networks: allowed.filter((one) => one !== 'all'), s3Places };
}

function parsePieceBytes(text: string): bigint {
  const bytes = parseBytes(text);
  if (bytes < 2048n || bytes > MAX_PIECE_BYTES || (bytes & (bytes - 1n)) !== 0n) {
    throw new Error(`'${text}' is not a power of two from 2KiB to ${formatBytes(MAX_PIECE_BYTES)}`);
  }
  return bytes;
}

/** Curio hangs up below 10 Mbit/s a connection. */
const MIN_PIECE_RATE = 1_250_000n;

function parsePieceRate(text: string): number {
  const bytes = parseBytes(text);
  if (bytes < MIN_PIECE_RATE) throw new Error(`'${text}' is less than ${MIN_PIECE_RATE} bytes a second (10 Mbit/s)`);
  return Number(bytes);
}

function readSealing(reader: EnvReader): SealRules {
  const pieceBytes = reader.read('PIECE_SIZE', 32n * 2n ** 30n, parsePieceBytes);
  const half = pieceBytes / 2n;
  const minPieceBytes = reader.read('MIN_PIECE_SIZE', half < 16n * 2n ** 30n ? half : 16n * 2n ** 30n, parsePieceBytes);
  // The smallest CAR whose natural piece size is PIECE_SIZE: one byte more than what half of it holds.
  const minFillBytes = reader.read('MIN_FILL', pieceCapacity(half) + 1n, parseBytes);
  const maxAgeMs = reader.read('MAX_AGE', 12 * 3_600_000, parseDurationMs);
  const forceAgeMs = reader.read('FORCE_AGE', Math.max(48 * 3_600_000, maxAgeMs), parseDurationMs);
  const openAggregates = reader.read('OPEN_AGGREGATES', 3, parseWhole(1, 100));
  if (minPieceBytes > pieceBytes) reader.faults.push('MIN_PIECE_SIZE: larger than PIECE_SIZE');
  if (minFillBytes > pieceCapacity(pieceBytes)) reader.faults.push('MIN_FILL: more than a piece of PIECE_SIZE holds');
  if (forceAgeMs < maxAgeMs) reader.faults.push('FORCE_AGE: shorter than MAX_AGE');
  return { pieceBytes, minPieceBytes, minFillBytes, maxAgeMs, forceAgeMs, openAggregates };
}

function parseRetention(text: string): number | undefined {
  if (text === 'keep') return undefined;
  try {
    return parseDurationMs(text);
  } catch {
    throw new Error(`'${text}' is neither keep nor a time such as 30d`);
  }
}

function readAccess(reader: EnvReader, serves: boolean) {
  const apiTokens = reader.read('API_TOKENS', [] as ApiToken[], parseTokens);
  const databaseUrl = reader.read('DATABASE_URL', undefined as string | undefined, (text) => {
    if (!/^postgres(ql)?:\/\//.test(text)) throw new Error('must start with postgres:// or postgresql://');
    return text;
  });
  const tokenSecret = reader.read('TOKEN_SECRET', undefined as string | undefined, (text) => {
    if (text.length < MIN_SECRET_CHARS) throw new Error(`has fewer than ${MIN_SECRET_CHARS} characters`);
    return text;
  });
  if (serves && apiTokens.length === 0 && reader.text('API_TOKENS') === undefined) {
    reader.faults.push(
      'API_TOKENS: not set; without a token nobody could use the API. Set name:role:token,… (roles upload, ops, read)',
    );
  }
  if (serves && databaseUrl !== undefined && tokenSecret === undefined && reader.text('TOKEN_SECRET') === undefined) {
    reader.faults.push('TOKEN_SECRET: required with DATABASE_URL, the same in every process');
  }
  return { apiTokens, databaseUrl, tokenSecret };
}

function readWallet(reader: EnvReader): string | undefined {
  return reader.read('WALLET', undefined as string | undefined, (text) => {
    if (!/^(file:|lotus:)./.test(text)) throw new Error(`'${text}' is neither file:/path/to/key nor lotus:ADDRESS`);
    return text;
  });
}

/** The URL of an API that listens at this host and port. */
export function listeningUrl(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * The configuration from environment variables (shared names: docs/operating.md). Pure; throws one `CONFIG_INVALID`
 * that names every fault. `purpose` 'tool' is a command that serves nobody, and so needs no tokens.
 */
export function readConfig(env: Env, purpose: 'serve' | 'tool' = 'serve'): Config {
  const reader = new EnvReader(env);
  const host = reader.read('HOST', '127.0.0.1', (text) => text);
  const port = reader.read('PORT', 3000, parseWhole(0, 65_535));
  const dataDir = resolve(reader.read('DATA_DIR', './data', (text) => text));
  const sealing = readSealing(reader);
  const network = reader.read<NetworkName>('CHAIN_NETWORK', 'mainnet', (text) => {
    if (!isNetworkName(text)) throw new Error(`'${text}' is none of mainnet, calibration, devnet`);
    return text;
  });
  const config: Config = {
    host,
    port,
    publicUrl: reader.read('PUBLIC_URL', undefined as string | undefined, parseHttpUrl),
    ...readAccess(reader, purpose === 'serve'),
    dataDir,
    storeUrl: reader.read('STORE_URL', pathToFileURL(`${dataDir}/store`).href, parseStoreUrl),
    rpcEndpoints: parseEndpoints(reader),
    network,
    wallet: readWallet(reader),
    roles: reader.read('ROLES', [...roles], (text) => text.split(',').map((role) => parseOneOf(roles)(role.trim()))),
    sealing,
    maxUploadBytes: reader.read('MAX_UPLOAD_SIZE', 256n * 2n ** 30n, parseBytes),
    minFreeBytes: reader.read('MIN_FREE_SPACE', 2n ** 30n, parseBytes),
    storeQuotaBytes: reader.read('STORE_QUOTA', undefined as bigint | undefined, parseBytes),
    retentionMs: reader.read('RETENTION', undefined as number | undefined, parseRetention),
    scrubBytesPerSecond: Number(reader.read('SCRUB_RATE', 8n * 2n ** 20n, parseBytes)),
    uploadTimeoutMs: reader.read('UPLOAD_TIMEOUT', 24 * 3_600_000, parseDurationMs),
    lookbackEpochs: reader.read('LOOKBACK_EPOCHS', 10, parseWhole(0, 900)),
    publicCheck: reader.read('PUBLIC_CHECK', true, parseYes),
    ...readAccessSettings(reader),
    webhooks: {
      allowPrivate: reader.read('LADING_WEBHOOK_ALLOW_PRIVATE', false, parseYes),
      retryForMs: reader.read('LADING_WEBHOOK_RETRY_FOR', 3 * 86_400_000, parseDurationMs),
    },
    pulls: readPulls(reader),
    allowPrivateProviders: reader.read('LADING_PROVIDER_ALLOW_PRIVATE', false, parseYes),
    ipfsCluster: readIpfsCluster(reader),
    ipfsSources: readIpfsSources(reader),
    pieceRate: reader.read('PIECE_RATE', undefined as number | undefined, parsePieceRate),
    logLevel: reader.read<LogLevel>('LOG_LEVEL', 'info', parseOneOf(LOG_LEVELS)),
  };
  if (reader.faults.length > 0) {
    throw new LadingError('CONFIG_INVALID', `the configuration has faults:\n  ${reader.faults.join('\n  ')}`);
  }
  return config;
}
