import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createLog, type Log } from '../../src/log/log.ts';
import { createPieceTokens } from '../../src/deals/send/piece-token.ts';
import { webhookSecret } from '../../src/events/webhook-signature.ts';
import { secretsOf } from '../../src/log/redact.ts';
import { note, noteChange, openStory, within } from '../../src/log/story.ts';
import { formatToken } from '../../src/tokens/token-text.ts';

const ENV = {
  API_TOKENS: 'service:upload:first-token-of-8, operator:ops:with:colons+and"quotes\\',
  CHAIN_RPC_TOKEN: 'eyJhbGciOiJIUzI1NiJ9.eyJBbGxvdyI6WyJyZWFkIl19.c2lnbmF0dXJl,second-chain-token',
  TOKEN_SECRET: 'a secret of at least thirty-two characters',
  DATABASE_URL: 'postgres://lading:p%40ss%2Fword-1@db.example.com/lading',
  AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  IPFS_CLUSTER_TOKEN: 'cluster-token-of-somebody',
  A_TOKEN_THAT_A_LATER_VERSION_ADDS: 'tomorrows-secret',
  HOST: '127.0.0.1',
};
const SECRETS = [
  'first-token-of-8',
  'with:colons+and"quotes\\',
  'second-chain-token',
  ENV.CHAIN_RPC_TOKEN.split(',')[0] ?? '',
  ENV.TOKEN_SECRET,
  'p%40ss%2Fword-1',
  'p@ss/word-1',
  ENV.AWS_SECRET_ACCESS_KEY,
  ENV.IPFS_CLUSTER_TOKEN,
  ENV.A_TOKEN_THAT_A_LATER_VERSION_ADDS,
];

function recorded(secrets: string[] = secretsOf(ENV)) {
  const lines: string[] = [];
  const log = createLog('debug', { secrets, write: (line) => lines.push(line) });
  return { log, lines };
}

/** Every way in which a value gets into a line. */
const ways: Record<string, (log: Log, secret: string) => void> = {
  'a field': (log, secret) => log.info({ anything: secret }, 'some.event'),
  'deep within': (log, secret) => log.info({ a: [{ b: { c: [secret] } }] }, 'some.event'),
  'the name of a field': (log, secret) => log.info({ [secret]: 1 }, 'some.event'),
  'the event': (log, secret) => log.info({}, `some.event ${secret}`),
  'within a text': (log, secret) => log.warn({ url: `https://x.example.com/a?b=${secret}&c` }, 'some.event'),
  'an error': (log, secret) => log.error({ err: new Error(`refused ${secret}`) }, 'some.event'),
  'a cause of an error': (log, secret) =>
    log.error({ err: new Error('refused', { cause: new Error(secret) }) }, 'some.event'),
  'a field of an error': (log, secret) => log.error({ err: Object.assign(new Error('x'), { at: { secret } }) }, 'e.e'),
  'a text that was JSON': (log, secret) => log.info({ body: JSON.stringify({ x: secret }) }, 'some.event'),
  'an encoded text': (log, secret) => log.info({ url: `/a?b=${encodeURIComponent(secret)}` }, 'some.event'),
  'the ids of a story': (log, secret) => within(openStory({ who: secret }), () => log.info({}, 'some.event')),
};

test.each(Object.keys(ways))('a secret of the configuration never stands in a line: as %s', (way) => {
  for (const secret of SECRETS) {
    const { log, lines } = recorded();
    ways[way]?.(log, secret);
    const [line = ''] = lines;
    expect(line).not.toContain(secret);
    expect(line).not.toContain(JSON.stringify(secret).slice(1, -1));
    expect(line).not.toContain(JSON.stringify(JSON.stringify(secret)).slice(3, -3));
    expect(line).not.toContain(encodeURIComponent(secret));
    expect(() => JSON.parse(line)).not.toThrow();
  }
});

test('no secret of whatever characters stands in a line, which stays JSON', () => {
  const secretText = fc.string({ minLength: 8, maxLength: 60, unit: 'binary' });
  const lineWith = (secret: string) => {
    const { log, lines } = recorded([secret]);
    log.info({ a: { b: `before ${secret} after` }, err: new Error(secret) }, 'some.event');
    return lines[0] ?? '';
  };
  fc.assert(
    fc.property(secretText, (secret) => {
      // What the line itself is made of is no secret that anybody has.
      const { log, lines } = recorded([]);
      log.info({ a: { b: 'before  after' }, err: new Error('') }, 'some.event');
      fc.pre(lines.every((line) => !line.includes(secret) && !line.includes(JSON.stringify(secret).slice(1, -1))));
      const parsed = JSON.parse(lineWith(secret));
      expect(parsed.a.b).toBe('before [secret] after');
      expect(parsed.err.message).toBe('[secret]');
    }),
    { numRuns: 50 },
  );
});

test('what has the form or the name of a secret is taken out, whoever made it', () => {
  const own = [
    formatToken(Buffer.alloc(32, 7)),
    createPieceTokens('another secret of thirty-two characters!').tokenFor('0f0f0f0f-0000-4000-8000-000000000001'),
    webhookSecret('another secret of thirty-two characters!', '1'),
    'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJBbGxvdyI6WyJyZWFkIl19.Zm9v',
  ];
  for (const token of own) {
    const { log, lines } = recorded([]);
    log.info({ text: `with ${token} in it`, deal: '0f0f0f0f-0000-4000-8000-000000000001' }, 'some.event');
    expect(lines[0]).not.toContain(token.slice(-20));
    // The id of a deal is none, and is what one looks for.
    expect(JSON.parse(lines[0] ?? '').deal).toBe('0f0f0f0f-0000-4000-8000-000000000001');
  }
  const { log, lines } = recorded([]);
  log.info(
    {
      headers: {
        Authorization: 'Bearer abc',
        cookie: 'session=abc',
        'x-amz-security-token': 'abc',
        accept: 'text/html',
      },
      config: { database: { password: 'a"b\\c' }, apiKey: 'abc', tokenName: 'service' },
      url: 'https://user:abc@host.example.com/path?X-Amz-Signature=abc&X-Amz-Date=2024&token=abc#x',
      body: '{"refreshToken":"abc","size":5}',
      words: 'sent Authorization: Bearer abc.def, then left',
    },
    'some.event',
  );
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    headers: { Authorization: '[secret]', cookie: '[secret]', 'x-amz-security-token': '[secret]', accept: 'text/html' },
    config: { database: { password: '[secret]' }, apiKey: '[secret]', tokenName: 'service' },
    url: 'https://[secret]@host.example.com/path?X-Amz-Signature=[secret]&X-Amz-Date=2024&token=[secret]#x',
    body: '{"refreshToken":"[secret]","size":5}',
  });
  expect(lines[0]).not.toMatch(/abc|a\\"b/);
});

test('lines within a story have its ids, also after waiting; notes stand in its closing line alone', async () => {
  const { log, lines } = recorded([]);
  const one = openStory({ jobId: 'j1', dealId: 'd1' });
  const other = openStory({ jobId: 'j2' });
  const act = (story: typeof one, name: string) =>
    within(story, async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      log.info({ name }, 'deal.sent');
      note({ outcome: name });
      for (let nth = 0; nth < 12; nth += 1) noteChange(`deal d1 ${nth}→${nth + 1}`);
    });
  await Promise.all([act(one, 'first'), act(other, 'second')]);
  log.info({}, 'outside');
  note({ lost: true });
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { jobId: 'j1', dealId: 'd1', name: 'first', event: 'deal.sent' },
    { jobId: 'j2', name: 'second', event: 'deal.sent' },
    { event: 'outside' },
  ]);
  expect(lines[2]).not.toContain('jobId');
  expect(one.ids).toEqual({ jobId: 'j1', dealId: 'd1' });
  expect(one.notes).toMatchObject({ outcome: 'first', moreChanges: 2 });
  expect(one.notes['changes']).toHaveLength(10);
});
