import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { askDeal, type StatusDeps } from '../../../src/deals/send/ask-status.ts';
import { listDealsToAsk } from '../../../src/deals/send/status-store.ts';
import { moveDeal } from '../../../src/deals/move-deal.ts';
import type { StatusAnswer } from '../../../src/deals/transport/transport.ts';
import { ScriptedChain } from '../../support/scripted-chain.ts';
import { watchFixture } from '../../support/watch-fixture.ts';
import { scriptedTransport, testWallet } from '../scripted-world.ts';

const MINUTE = 60_000;
const PROVIDER = 'f01002';
const signal = new AbortController().signal;

let watched: Awaited<ReturnType<typeof watchFixture>>;
let world: ReturnType<typeof scriptedTransport>;
let deps: StatusDeps;
let dealId: string;
let seeded: Awaited<ReturnType<typeof watched.seed>>;

beforeEach(async () => {
  watched = await watchFixture(new ScriptedChain());
  world = scriptedTransport();
  const chain = { ...watched.deps.chain, minerInfo: () => Promise.reject(new Error('its addresses are fresh')) };
  deps = { ...watched.deps, chain, wallet: testWallet, transport: world.transport, random: () => 0 };
  seeded = await watched.seed({ state: 'sent', provider: PROVIDER, startEpoch: 5_000 });
  dealId = seeded.id;
  const addresses = { peer_id: `peer-of-${PROVIDER}`, multiaddrs: ['/ip4/127.0.0.1/tcp/1'] };
  await watched.kysely
    .updateTable('providers')
    .set({ ...addresses, address_source: 'manual', resolved_at: watched.clock.now() })
    .execute();
});
afterEach(() => watched[Symbol.asyncDispose]());

const accept = () =>
  watched.kysely
    .transaction()
    .execute((trx) => moveDeal(trx, { id: dealId, from: 'sent', to: 'accepted', at: watched.clock.now() }));
const say = (answer: StatusAnswer) => world.answers.status.set(PROVIDER, answer);
const due = () => listDealsToAsk(watched.kysely, watched.clock.now(), 10);
const ask = () => askDeal(deps, dealId, signal);

describe('asking for the status of a deal', () => {
  it('is due minutes after it was accepted, and later each time', async () => {
    await accept();
    expect(await due()).toEqual([]);
    watched.clock.advance(2 * MINUTE);
    expect(await due()).toEqual([dealId]);
    say({ kind: 'known', status: 'Accepted', error: '', via: 'https', agent: 'curio-1.2' });
    expect(await ask()).toBe('under-way');
    expect(await watched.deal(dealId)).toMatchObject({
      state: 'accepted',
      said_status: 'Accepted',
      said_at: watched.clock.now(),
    });
    expect(await due()).toEqual([]);
    watched.clock.advance(2 * MINUTE);
    expect(await due()).toEqual([dealId]);
    watched.clock.advance(96 * MINUTE);
    await ask();
    watched.clock.advance(49 * MINUTE);
    expect(await due()).toEqual([]);
    watched.clock.advance(MINUTE);
    expect(await due()).toEqual([dealId]);
    const provider = await watched.kysely.selectFrom('providers').selectAll().executeTakeFirstOrThrow();
    expect(provider).toMatchObject({ transport: 'https', agent: 'curio-1.2' });
  });

  it('takes turns: of two at once, one asks', async () => {
    await accept();
    say({ kind: 'known', status: 'Accepted', error: '' });
    const outcomes = await Promise.all([ask(), ask()]);
    expect(world.statusAsked.length).toBe(outcomes.filter((outcome) => outcome === 'under-way').length);
    expect(outcomes).toContain('under-way');
  });

  it('ends a deal that its provider gave up, and frees its slot, but neither DataCap nor provider', async () => {
    await accept();
    say({ kind: 'known', status: 'Complete', error: 'commp\u0000mismatch' });
    expect(await ask()).toBe('failed');
    expect(await watched.deal(dealId)).toMatchObject({
      state: 'failed',
      reason_code: 'provider_failed',
      reason_text: 'commp mismatch',
      settled_at: null,
      next_status_at: null,
    });
    expect(watched.jobs.sent).toEqual([{ queue: 'propose', aggregateId: seeded.aggregateId.toString() }]);
    expect(await ask()).toBe('nothing-to-do');
  });

  it('leaves a deal alone that is paused, unheard of, or not answered for', async () => {
    await accept();
    const answers: [StatusAnswer, string][] = [
      [{ kind: 'known', status: 'Transferred', error: 'publish: no funds' }, 'paused'],
      [{ kind: 'none', error: `no storage deal found with deal UUID ${dealId}` }, 'unheard'],
      [{ kind: 'none', error: 'failed to get sealed deal status' }, 'unheard'],
      [{ kind: 'unknown', why: 'reset' }, 'unanswered'],
      [{ kind: 'not-connected', why: 'refused' }, 'unanswered'],
    ];
    for (const [answer, outcome] of answers) {
      say(answer);
      expect(await ask()).toBe(outcome);
    }
    expect(await watched.deal(dealId)).toMatchObject({
      state: 'accepted',
      said_status: 'Transferred: by now it says: failed to get sealed deal status',
    });
    expect(watched.jobs.sent).toEqual([]);
  });

  it('is never believed for active or published', async () => {
    await accept();
    await watched.watch();
    say({ kind: 'known', status: 'Sealed', error: '', sealingStatus: 'Sealed and Indexed', chainDealId: 77n });
    expect(await ask()).toBe('under-way');
    expect(await watched.deal(dealId)).toMatchObject({ state: 'accepted', chain_deal_id: null });
  });

  it('makes a sent deal accepted whose answer was lost, and one that failed since failed', async () => {
    say({ kind: 'known', status: 'Accepted', error: '' });
    expect(await ask()).toBe('under-way');
    expect(await watched.story(dealId)).toEqual(['sent', 'accepted']);
    const other = await watched.seed({ state: 'sent', piece: 2, provider: PROVIDER });
    say({ kind: 'known', status: 'Complete', error: 'Cancelled' });
    expect(await askDeal(deps, other.id, signal)).toBe('failed');
    expect(await watched.story(other.id)).toEqual(['sent', 'accepted', 'failed:provider_cancelled']);
  });
});

describe('what a provider names', () => {
  it('is a chain deal that is ours in all eleven fields: it is published', async () => {
    await accept();
    watched.chain.hasEvents = false;
    watched.chain.wrapsPublishes = true;
    const { id } = watched.chain.publish(seeded.onChain);
    await watched.grow(20);
    expect(await watched.deal(dealId)).toMatchObject({ state: 'accepted' });
    say({ kind: 'known', status: 'Complete', error: 'its database is lost', chainDealId: BigInt(id) });
    expect(await ask()).toBe('published');
    expect(await watched.deal(dealId)).toMatchObject({ state: 'published', chain_deal_id: BigInt(id) });
  });

  it('is a chain deal of somebody else: nothing of it is ours', async () => {
    await accept();
    const { id } = watched.chain.publish({ ...seeded.onChain, StoragePricePerEpoch: '999' });
    await watched.grow(20);
    say({ kind: 'known', status: 'Published', error: '', chainDealId: BigInt(id) });
    expect(await ask()).toBe('under-way');
    expect(await watched.deal(dealId)).toMatchObject({ state: 'accepted', chain_deal_id: null });
  });

  it('is a publish message: its receipt tells', async () => {
    await accept();
    await watched.watch();
    watched.chain.eventsFail = true;
    const published = watched.chain.publish(seeded.onChain);
    Object.assign(published, { signed: seeded.signedProposal });
    await watched.grow(20);
    expect(await watched.deal(dealId)).toMatchObject({ state: 'accepted' });
    say({ kind: 'known', status: 'Published', error: '', publishMessage: published.message });
    expect(await ask()).toBe('published');
    expect(await watched.deal(dealId)).toMatchObject({
      state: 'published',
      publish_message: published.message,
      said_publish_message: published.message,
    });
  });
});

describe('where the node has no events, a deal whose start is final', () => {
  const past = 200;

  beforeEach(async () => {
    seeded = await watched.seed({ state: 'sent', provider: PROVIDER, piece: 3, startEpoch: 150 });
    dealId = seeded.id;
  });

  async function startIsFinal() {
    await accept();
    await watched.watch();
    watched.chain.hasEvents = false;
    watched.chain.finalized = past - 20;
    await watched.grow(past - watched.chain.head);
  }

  it('is asked about once more before it is abandoned', async () => {
    await startIsFinal();
    expect(await watched.deal(dealId)).toMatchObject({ state: 'accepted' });
    expect(watched.jobs.sent).toEqual([{ queue: 'status', dealId }]);
    say({ kind: 'known', status: 'Accepted', error: '' });
    await ask();
    await watched.grow(1);
    expect(await watched.deal(dealId)).toMatchObject({ state: 'abandoned', reason_code: 'not_published' });
  });

  it('is abandoned also when its provider does not answer', async () => {
    await startIsFinal();
    await watched.grow(1);
    expect(await watched.deal(dealId)).toMatchObject({ state: 'accepted' });
    watched.clock.advance(10 * MINUTE);
    await watched.grow(1);
    expect(await watched.deal(dealId)).toMatchObject({ state: 'abandoned' });
  });

  it('lives when its provider names what was published unseen', async () => {
    await accept();
    await watched.watch();
    watched.chain.hasEvents = false;
    watched.chain.wrapsPublishes = true;
    const { id } = Object.assign(watched.chain.publish(seeded.onChain), { provedAt: 120, sectorNumber: 3 });
    watched.chain.finalized = past - 20;
    await watched.grow(past - watched.chain.head);
    say({ kind: 'known', status: 'Sealed', error: '', chainDealId: BigInt(id) });
    expect(await ask()).toBe('published');
    await watched.grow(1);
    expect(await watched.deal(dealId)).toMatchObject({ state: 'active', chain_deal_id: BigInt(id) });
  });
});
