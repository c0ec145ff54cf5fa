import { describe, expect, it } from 'vitest';
import { Registry } from 'prom-client';
import type { EndpointHealth } from '../../src/chain/endpoint-health.ts';
import type { ProposeAnswer, Transport } from '../../src/deals/transport/transport.ts';
import { countProviderAnswers } from '../../src/metrics/count-provider-answers.ts';
import { createCounters } from '../../src/metrics/counters.ts';
import { endpointSamples } from '../../src/metrics/endpoint-samples.ts';
import { chainSamples, figureSamples } from '../../src/metrics/figure-samples.ts';
import { GAUGES } from '../../src/metrics/gauges.ts';
import { keep } from '../../src/metrics/kept.ts';
import { readExposition, valueOf } from './read-exposition.ts';
import { statesOf } from './states.ts';

const NOW = new Date('2024-05-02T00:00:00.000Z');
const before = (seconds: number) => new Date(NOW.getTime() - seconds * 1_000);

const health: EndpointHealth = {
  host: 'node.example.com:1234',
  state: 'resting',
  since: before(30),
  lastFault: 'RPC_TIMEOUT',
  latencyMs: 250,
  height: 1_631_900,
  lagEpochs: 3,
  standing: 'behind',
};

describe('what a scrape shows', () => {
  it('has of every state of the tables a series, with rows or without', () => {
    const samples = [...figureSamples('pipeline', [], NOW), ...figureSamples('totals', [], NOW)];
    const shown = (name: string) =>
      samples.filter((one) => one.name === name).flatMap(({ labels }) => Object.values(labels));
    expect(shown('lading_deals').toSorted()).toEqual(statesOf('deal_state'));
    expect(shown('lading_uploads').toSorted()).toEqual(statesOf('upload_state'));
    expect(samples.every(({ value }) => value === 0)).toBe(true);
  });

  it('gives each sample the labels that its gauge has, and no others', () => {
    const figure = { items: 3, bytes: 5, oldest: before(60), state: null };
    const samples = [
      ...figureSamples('pipeline', [{ ...figure, what: 'upload', label: 'waiting' }], NOW),
      ...figureSamples('pipeline', [{ ...figure, what: 'job', label: 'send', state: 'retry' }], NOW),
      ...figureSamples('totals', [{ ...figure, what: 'deal', label: 'active' }], NOW),
      ...endpointSamples([health], NOW),
      ...chainSamples({ asOf: before(1), epoch: 7, degraded: { since: before(9), reason: 'x' }, limited: 'y' }, NOW),
    ];
    for (const { name, labels } of samples) expect(Object.keys(labels)).toEqual([...GAUGES[name].labels]);
  });

  it('knows nothing of labels that the tables do not have', () => {
    const strange = { what: 'deal' as const, label: 'from-elsewhere', state: null, items: 1, bytes: 1, oldest: null };
    expect(JSON.stringify(figureSamples('pipeline', [strange], NOW))).not.toContain('from-elsewhere');
  });

  it('tells of an endpoint one state and one standing', () => {
    const samples = endpointSamples([health], NOW);
    const ones = samples.filter(({ name, value }) => /state|standing/.test(name) && value === 1);
    expect(ones.map(({ labels }) => labels)).toEqual([
      { endpoint: health.host, state: 'resting' },
      { endpoint: health.host, standing: 'behind' },
    ]);
    const value = (name: string) => samples.find((one) => one.name === name)?.value;
    expect(value('lading_rpc_endpoint_since_seconds')).toBe(30);
    expect(value('lading_rpc_endpoint_lag_epochs')).toBe(3);
    expect(value('lading_rpc_endpoint_latency_seconds')).toBe(0.25);
  });

  it.each([
    ['the nodes disagree about a deal', 'disagree'],
    ['ChainHead: no answer within 20000 ms', 'unreachable'],
    ['ChainHead: ECONNREFUSED', 'unreachable'],
    ['the node shows another tipset at epoch 5, which was final', 'not_final'],
    ['the nodes show epochs that by the clock cannot be', 'ahead'],
    ['the node is behind: it shows epoch 5, and 9 was seen before', 'behind'],
    ['the node has shown no new tipset since epoch 9', 'behind'],
    ['no process has read the chain since', 'nobody_watches'],
    ['something new', 'other'],
  ])('classes "%s" as %s', (reason, wanted) => {
    const samples = chainSamples({ asOf: undefined, epoch: undefined, degraded: { since: before(5), reason } }, NOW);
    const classes = samples.filter(({ name, value }) => name === 'lading_chain_degraded' && value === 1);
    expect(classes.map(({ labels }) => labels)).toEqual([{ reason: wanted }]);
  });
});

describe('what is kept between scrapes', () => {
  const rules = { freshMs: 10, goodMs: 40, patienceMs: 20 };

  it('is read once for all who ask, and not again while it is fresh', async () => {
    let now = 0;
    let reads = 0;
    const get = keep(async () => (reads += 1), { ...rules, monotonicMs: () => now });
    const all = await Promise.all([get(), get(), get()]);
    expect(all.map((kept) => kept?.value)).toEqual([1, 1, 1]);
    now = 9;
    expect((await get())?.value).toBe(1);
    now = 10;
    expect((await get())?.value).toBe(2);
  });

  it('outlives faults for a while; a fault is not tried again at once', async () => {
    let now = 0;
    let reads = 0;
    const read = async () => {
      reads += 1;
      if (reads > 1) throw new Error('gone');
      return reads;
    };
    const get = keep(read, { ...rules, monotonicMs: () => now });
    await get();
    now = 10;
    expect((await get())?.value).toBe(1);
    now = 19;
    await get();
    expect(reads).toBe(2);
    now = 41;
    expect(await get()).toBeUndefined();
  });

  it('is shown old to whoever would wait too long', async () => {
    let now = 0;
    let stuck = false;
    const read = async () => {
      if (stuck) await new Promise(() => undefined);
      return 'read';
    };
    const get = keep(read, { ...rules, monotonicMs: () => now });
    await get();
    stuck = true;
    now = 15;
    expect((await get())?.value).toBe('read');
  });
});

describe('what is counted', () => {
  it('has one name for all paths that are none of ours', async () => {
    const registry = new Registry();
    const { requestAnswered } = createCounters(registry);
    for (const at of Array.from({ length: 100 }, (_, index) => index)) {
      requestAnswered({ method: `M${at}`, route: undefined, status: 404, ms: 5, endless: false });
    }
    requestAnswered({ method: 'GET', route: '/events', status: 200, ms: 1e9, endless: true });
    requestAnswered({ method: 'GET', route: '/events', status: 401, ms: 5, endless: true });
    const families = readExposition(await registry.metrics());
    const counts = families
      .get('lading_http_request_duration_seconds')
      ?.samples.filter(({ name }) => name.endsWith('_count'));
    expect(counts?.map(({ labels, value }) => [labels, value])).toEqual([
      [{ method: 'other', route: 'none', status: '4xx' }, 100],
      [{ method: 'GET', route: '/events', status: '4xx' }, 1],
    ]);
  });

  it('tells of the answers of providers by class, and of refusals by our codes', async () => {
    const answers: ProposeAnswer[] = [
      { kind: 'answered', accepted: true, message: '' },
      { kind: 'answered', accepted: false, message: 'words of the provider that nobody foresaw' },
      { kind: 'answered', accepted: false, message: 'deal start epoch 5 has already elapsed' },
      { kind: 'not-connected', why: 'refused' },
      { kind: 'unknown', why: 'cut off' },
    ];
    const all = [...answers];
    const transport: Transport = {
      propose: async () => answers.shift() ?? { kind: 'unknown', why: 'none' },
      status: async () => ({ kind: 'none', error: '' }),
      ask: async () => ({ kind: 'answered', ask: undefined }),
      close: async () => undefined,
    };
    const registry = new Registry();
    const counted = countProviderAnswers(transport, createCounters(registry).providerAnswered);
    const target = { peerId: 'p', multiaddrs: [] };
    const { signal } = new AbortController();
    for (const answer of all) expect(await counted.propose(target, new Uint8Array(), signal)).toBe(answer);
    await counted.status(target, new Uint8Array(), signal);
    expect(counted.transports).toBeUndefined();
    const text = await registry.metrics();
    const families = readExposition(text);
    const total = (outcome: string) =>
      valueOf(families, 'lading_provider_answers_total', { question: 'propose', outcome });
    expect(['accepted', 'refused', 'not_connected', 'unknown'].map(total)).toEqual([1, 2, 1, 1]);
    expect(valueOf(families, 'lading_provider_refusals_total', { reason: 'start_elapsed' })).toBe(1);
    expect(text).not.toContain('nobody foresaw');
  });
});
