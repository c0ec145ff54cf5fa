import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect } from '../../../src/db/connect.ts';
import { createPieceTokens } from '../../../src/deals/send/piece-token.ts';
import { sendDeal, type SendDeps } from '../../../src/deals/send/send.ts';
import type { ProposeAnswer, StatusAnswer } from '../../../src/deals/transport/transport.ts';
import { decodeDealParams } from '../../../src/filecoin/mk12-propose.ts';
import { silentLog } from '../../../src/log/log.ts';
import { openWatch } from '../../support/watch-fixture.ts';
import { scriptedChain, settableClock, testWallet } from '../scripted-world.ts';

const signal = new AbortController().signal;
const start = new Date('2026-01-01T00:00:00Z');
const PROVIDER = 'f07001';

let watched: Awaited<ReturnType<typeof openWatch>>;
let other: ReturnType<typeof connect>;
let piece = 0;

beforeAll(async () => {
  watched = await openWatch({ rpcUrl: 'http://127.0.0.1:9' });
  other = connect(watched.url);
});
afterAll(async () => {
  await other[Symbol.asyncDispose]();
  await watched[Symbol.asyncDispose]();
});

type Fate = 'accepts' | 'accepts and is not heard' | 'hears nothing' | 'refuses' | 'refuses for now' | 'unreachable';
const fates: Fate[] = [
  'accepts',
  'accepts and is not heard',
  'hears nothing',
  'refuses',
  'refuses for now',
  'unreachable',
];

/** A provider that holds what it accepted by proposal bytes, as Boost does, and whose answers may get lost. */
function forgetfulProvider(script: readonly Fate[]) {
  const held = new Map<string, string>();
  const seen: { uuid: string; proposal: string }[] = [];
  let open = 0;
  let most = 0;
  let call = 0;
  const hear = async (dealParams: Uint8Array): Promise<ProposeAnswer> => {
    const fate = script[call % script.length] ?? 'accepts';
    call += 1;
    if (fate === 'unreachable') return { kind: 'not-connected', why: 'refused' };
    const { dealUuid: uuid, signedProposal } = decodeDealParams(dealParams);
    const proposal = createHash('sha256').update(signedProposal).digest('hex');
    seen.push({ uuid, proposal });
    await sleep(5);
    if (fate === 'hears nothing') return { kind: 'unknown', why: 'reset' };
    const holder = held.get(proposal);
    if (holder !== undefined) {
      return {
        kind: 'answered',
        accepted: false,
        message: `deal proposal is identical to deal ${holder} (proposed at 1)`,
      };
    }
    if (fate === 'refuses') return { kind: 'answered', accepted: false, message: 'client not allowed by provider' };
    if (fate === 'refuses for now') {
      return {
        kind: 'answered',
        accepted: false,
        message: 'deal rejected due to backpressure. Please retry in some time.',
      };
    }
    held.set(proposal, uuid);
    if (fate === 'accepts and is not heard') return { kind: 'unknown', why: 'timeout' };
    return { kind: 'answered', accepted: true, message: '' };
  };
  return {
    held,
    seen,
    most: () => most,
    propose: async (_target: unknown, dealParams: Uint8Array): Promise<ProposeAnswer> => {
      open += 1;
      most = Math.max(most, open);
      try {
        return await hear(dealParams);
      } finally {
        open -= 1;
      }
    },
    status: (): Promise<StatusAnswer> => {
      const uuid = [...held.values()][0];
      if (uuid === undefined) return Promise.resolve({ kind: 'none', error: 'no storage deal found with deal UUID x' });
      return Promise.resolve({ kind: 'known', status: 'Accepted', error: '' });
    },
  };
}

it('two processes never send at once, always the same bytes, and end as the provider has it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...fates), { minLength: 1, maxLength: 5 }), async (script) => {
      piece += 1;
      const clock = settableClock(start);
      const provider = forgetfulProvider(script);
      const deal = await watched.seed({
        state: 'signed',
        piece,
        provider: PROVIDER,
        startEpoch: 200_000 + piece,
        endEpoch: 900_000,
      });
      const addresses = { peer_id: `peer-of-${PROVIDER}`, multiaddrs: ['/ip4/127.0.0.1/tcp/1'], resolved_at: start };
      await watched.kysely
        .updateTable('providers')
        .set({ ...addresses, address_source: 'manual' as const })
        .execute();
      const common: Omit<SendDeps, 'db'> = {
        jobs: watched.jobs,
        chain: scriptedChain().chain,
        wallet: testWallet,
        transport: provider,
        pieceTokens: createPieceTokens('a secret of at least 32 characters'),
        publicUrl: 'https://lading.example.com',
        clock: clock.clock,
        random: () => 0,
        log: silentLog,
      };
      const processes: SendDeps[] = [
        { ...common, db: watched.kysely },
        { ...common, db: other.kysely },
      ];
      for (let round = 0; round < 12; round += 1) {
        await Promise.all([...processes, ...processes].map((deps) => sendDeal(deps, deal.id, signal)));
        clock.advance(700_000);
      }
      const { state } = await watched.deal(deal.id);
      expect(provider.most(), 'attempts at once').toBeLessThanOrEqual(1);
      expect(new Set(provider.seen.map(({ uuid }) => uuid)).size).toBeLessThanOrEqual(1);
      expect(new Set(provider.seen.map(({ proposal }) => proposal)).size).toBeLessThanOrEqual(1);
      if (provider.held.size > 0) expect(['accepted', 'sent']).toContain(state);
      if (state === 'accepted') expect(provider.held.size).toBe(1);
      if (state === 'rejected') expect(provider.held.size).toBe(0);
    }),
    { numRuns: 15 },
  );
});
