import { describe, expect, it } from 'vitest';
import { readConfig, type Env } from '../src/config.ts';
import { LadingError } from '../src/errors.ts';

const TOKENS = { API_TOKENS: 'service:upload:secret-one,me:ops:secret:with:colons' };

function faultsOf(env: Env): string {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof LadingError && error.code === 'CONFIG_INVALID') return error.message;
    throw error;
  }
  return '';
}

describe('the configuration', () => {
  it('is mainnet’s when only tokens are given', () => {
    const config = readConfig({ ...TOKENS, DATA_DIR: '/srv/lading' });
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 3000,
      publicUrl: undefined,
      databaseUrl: undefined,
      storeUrl: 'file:///srv/lading/store',
      network: 'mainnet',
      roles: ['api', 'aggregate', 'deals', 'watch'],
      rpcEndpoints: [],
      wallet: undefined,
      lookbackEpochs: 10,
      publicCheck: true,
      trustProxy: [],
      corsOrigins: [],
      metricsFrom: ['loopback'],
      rateLimits: {
        token: { count: 600_000, windowMs: 60_000 },
        public: { count: 60_000, windowMs: 60_000 },
        failed: { count: 600, windowMs: 60_000 },
      },
      logLevel: 'info',
    });
    expect(config.sealing).toEqual({
      pieceBytes: 34_359_738_368n,
      minPieceBytes: 17_179_869_184n,
      // The smallest CAR that pads to 32 GiB (aggregate-layout).
      minFillBytes: 17_045_651_457n,
      maxAgeMs: 43_200_000,
      forceAgeMs: 172_800_000,
      openAggregates: 3,
    });
    expect(config.apiTokens).toEqual([
      { name: 'service', role: 'upload', token: 'secret-one' },
      { name: 'me', role: 'ops', token: 'secret:with:colons' },
    ]);
  });

  it('gives each endpoint its own token, by position', () => {
    const env = { ...TOKENS, CHAIN_RPC_URL: 'http://a/rpc/v1, https://b/rpc/v1/,http://c', CHAIN_RPC_TOKEN: 'ta,,tc' };
    expect(readConfig(env).rpcEndpoints).toEqual([
      { url: 'http://a/rpc/v1', token: 'ta' },
      { url: 'https://b/rpc/v1' },
      { url: 'http://c', token: 'tc' },
    ]);
  });

  it('reads who may come from where, and how often', () => {
    const env = {
      ...TOKENS,
      TRUST_PROXY: 'loopback, 10.0.0.0/8,2001:db8::1',
      CORS_ORIGINS: 'https://app.example.com/,http://localhost:5173',
      METRICS_FROM: 'uniquelocal,198.51.100.0/24',
      RATE_LIMIT_TOKEN: '100/s',
      RATE_LIMIT_PUBLIC: 'none',
      RATE_LIMIT_FAILED: '5/h',
    };
    expect(readConfig(env)).toMatchObject({
      trustProxy: ['loopback', '10.0.0.0/8', '2001:db8::1'],
      corsOrigins: ['https://app.example.com', 'http://localhost:5173'],
      metricsFrom: ['uniquelocal', '198.51.100.0/24'],
      rateLimits: {
        token: { count: 100, windowMs: 1_000 },
        public: undefined,
        failed: { count: 5, windowMs: 3_600_000 },
      },
    });
    expect(readConfig({ ...TOKENS, CORS_ORIGINS: '*' }).corsOrigins).toEqual(['*']);
    expect(readConfig({ ...TOKENS, METRICS_FROM: 'none' }).metricsFrom).toEqual([]);
    expect(faultsOf({ ...TOKENS, METRICS_FROM: 'anybody' })).toContain('METRICS_FROM: ');
  });

  it('reads where webhooks may go, and for how long they are tried', () => {
    expect(readConfig(TOKENS).webhooks).toEqual({ allowPrivate: false, retryForMs: 259_200_000 });
    const env = { ...TOKENS, LADING_WEBHOOK_ALLOW_PRIVATE: 'true', LADING_WEBHOOK_RETRY_FOR: '1h' };
    expect(readConfig(env).webhooks).toEqual({ allowPrivate: true, retryForMs: 3_600_000 });
    expect(faultsOf({ ...TOKENS, LADING_WEBHOOK_ALLOW_PRIVATE: 'yes' })).toContain('LADING_WEBHOOK_ALLOW_PRIVATE: ');
  });

  it('reads where uploads by URL may come from', () => {
    expect(readConfig(TOKENS).pulls).toEqual({ allowPrivate: false, networks: [], s3Places: [] });
    const env = {
      ...TOKENS,
      LADING_PULL_ALLOW: '10.0.0.0/8, fd00::/8',
      LADING_PULL_S3: 's3://one,s3://two/deep?region=eu-1',
    };
    expect(readConfig(env).pulls).toEqual({
      allowPrivate: false,
      networks: ['10.0.0.0/8', 'fd00::/8'],
      s3Places: [
        { bucket: 'one', prefix: '', endpoint: undefined, region: undefined },
        { bucket: 'two', prefix: 'deep', endpoint: undefined, region: 'eu-1' },
      ],
    });
    expect(readConfig({ ...TOKENS, LADING_PULL_ALLOW: 'all' }).pulls.allowPrivate).toBe(true);
    for (const bad of ['10.0.0.1', '10.0.0.0/33', 'true', '10.0.0.0/8,', 'localhost'])
      expect(faultsOf({ ...TOKENS, LADING_PULL_ALLOW: bad })).toContain(
        'is neither a network such as 10.0.0.0/8 nor all',
      );
    expect(faultsOf({ ...TOKENS, LADING_PULL_S3: 's3://key:secret-word@one' })).toMatch(/LADING_PULL_S3: credentials/);
    expect(faultsOf({ ...TOKENS, LADING_PULL_S3: 's3://key:secret-word@one' })).not.toContain('secret-word');
  });

  it('reads where uploads are pinned', () => {
    expect(readConfig(TOKENS).ipfsSources).toEqual({ gatewayUrls: [], kuboUrl: undefined });
    const sources = {
      IPFS_GATEWAY_URL: 'https://one.example.com/, http://10.0.0.6:8080',
      IPFS_KUBO_URL: 'http://10.0.0.6:5001/',
    };
    expect(readConfig({ ...TOKENS, ...sources }).ipfsSources).toEqual({
      gatewayUrls: ['https://one.example.com', 'http://10.0.0.6:8080'],
      kuboUrl: 'http://10.0.0.6:5001',
    });
    expect(faultsOf({ ...TOKENS, IPFS_GATEWAY_URL: 'https://one.example.com,two' })).toContain('IPFS_GATEWAY_URL: ');
    expect(faultsOf({ ...TOKENS, IPFS_KUBO_URL: '/ip4/10.0.0.6/tcp/5001' })).toContain('IPFS_KUBO_URL: ');
    expect(readConfig(TOKENS).ipfsCluster).toBeUndefined();
    const env = { ...TOKENS, IPFS_CLUSTER_URL: 'http://10.0.0.5:9094/' };
    expect(readConfig(env).ipfsCluster).toEqual({ url: 'http://10.0.0.5:9094', token: undefined });
    expect(readConfig({ ...env, IPFS_CLUSTER_TOKEN: 'user:password' }).ipfsCluster?.token).toBe('user:password');
    expect(faultsOf({ ...TOKENS, IPFS_CLUSTER_URL: '10.0.0.5:9094' })).toContain('IPFS_CLUSTER_URL: ');
    expect(faultsOf({ ...TOKENS, IPFS_CLUSTER_TOKEN: 'user:password' })).toContain('IPFS_CLUSTER_TOKEN: ');
  });

  it('reads whether providers may stand beside us', () => {
    expect(readConfig(TOKENS).allowPrivateProviders).toBe(false);
    expect(readConfig({ ...TOKENS, LADING_PROVIDER_ALLOW_PRIVATE: 'true' }).allowPrivateProviders).toBe(true);
    expect(faultsOf({ ...TOKENS, LADING_PROVIDER_ALLOW_PRIVATE: '1' })).toContain('LADING_PROVIDER_ALLOW_PRIVATE: ');
  });

  it('tells every fault at once, each by the name of its variable', () => {
    const told = faultsOf({
      PORT: '70000',
      PUBLIC_URL: 'example.com',
      DATABASE_URL: 'mysql://x',
      CHAIN_NETWORK: 'testnet',
      PIECE_SIZE: '3GiB',
      MAX_AGE: 'soon',
      ROLES: 'api,cook',
      WALLET: '/key',
      LOG_LEVEL: 'loud',
    });
    for (const name of ['PORT', 'PUBLIC_URL', 'DATABASE_URL', 'CHAIN_NETWORK', 'PIECE_SIZE', 'MAX_AGE', 'ROLES']) {
      expect(told).toContain(`${name}: `);
    }
    for (const name of ['WALLET', 'LOG_LEVEL', 'API_TOKENS']) expect(told).toContain(`${name}: `);
  });

  it.each<[string, Env, RegExp]>([
    ['no token', {}, /API_TOKENS: not set/],
    ['a token without a role', { API_TOKENS: 'name:secret-one' }, /API_TOKENS: each entry is name:role:token/],
    ['an unknown role', { API_TOKENS: 'name:root:secret-one' }, /API_TOKENS: 'root' is none of upload, ops, read/],
    ['a short token', { API_TOKENS: 'name:ops:short' }, /fewer than 8 characters/],
    ['one name twice', { API_TOKENS: 'a:ops:secret-one,a:read:secret-two' }, /same name/],
    ['one token twice', { API_TOKENS: 'a:ops:secret-one,b:read:secret-one' }, /same token/],
    ['no shared secret on a shared database', { ...TOKENS, DATABASE_URL: 'postgres://h/d' }, /TOKEN_SECRET: required/],
    ['a short secret', { ...TOKENS, TOKEN_SECRET: 'short' }, /TOKEN_SECRET: has fewer than 32/],
    ['more RPC tokens than URLs', { ...TOKENS, CHAIN_RPC_TOKEN: 'x' }, /CHAIN_RPC_TOKEN: more tokens than URLs/],
    ['MIN_FILL beyond the piece', { ...TOKENS, PIECE_SIZE: '1MiB', MIN_FILL: '2MiB' }, /MIN_FILL: more than/],
    ['FORCE_AGE before MAX_AGE', { ...TOKENS, MAX_AGE: '2h', FORCE_AGE: '1h' }, /FORCE_AGE: shorter/],
    ['a proxy that is anybody', { ...TOKENS, TRUST_PROXY: '0.0.0.0/0' }, /TRUST_PROXY: '0.0.0.0\/0' is no address/],
    ['a proxy by name', { ...TOKENS, TRUST_PROXY: 'true' }, /TRUST_PROXY: 'true' is no address/],
    [
      'a page that is no origin',
      { ...TOKENS, CORS_ORIGINS: 'https://a.example/path' },
      /CORS_ORIGINS: .*nor an origin/,
    ],
    ['an origin without a scheme', { ...TOKENS, CORS_ORIGINS: 'a.example' }, /CORS_ORIGINS: .*nor an origin/],
    [
      'a rate of nothing',
      { ...TOKENS, RATE_LIMIT_TOKEN: '0/s' },
      /RATE_LIMIT_TOKEN: '0\/s' is neither none nor a rate/,
    ],
    ['a rate without a time', { ...TOKENS, RATE_LIMIT_PUBLIC: '100' }, /RATE_LIMIT_PUBLIC: /],
    ['a piece above the largest sector', { ...TOKENS, PIECE_SIZE: '128GiB' }, /PIECE_SIZE: .*power of two/],
  ])('refuses %s', (_what, env, told) => {
    expect(faultsOf(env)).toMatch(told);
  });

  it('lets a tool go without tokens, and never lets a bad value pass as the default', () => {
    expect(readConfig({}, 'tool').apiTokens).toEqual([]);
    expect(() => readConfig({ PORT: 'x' }, 'tool')).toThrow(/PORT/);
  });

  it('tells no secret in its faults', () => {
    const told = faultsOf({ API_TOKENS: 'name:root:very-secret-token', TOKEN_SECRET: 'a-secret', PORT: 'x' });
    expect(told).not.toMatch(/very-secret-token|a-secret/);
  });
});
