import { randomUUID } from 'node:crypto';
import type { Clock } from '../../src/clock.ts';
import type { ProposeChain } from '../../src/deals/propose/propose.ts';
import type { Ask, AskAnswer, ProposeAnswer, StatusAnswer, Transport } from '../../src/deals/transport/transport.ts';
import type { Wallet } from '../../src/deals/wallet/wallet.ts';
import { formatAddress } from '../../src/filecoin/address.ts';
import { keyAddress, signWithKey, type LotusKey } from '../../src/filecoin/lotus-key.ts';

/** A key of the tests, worth nothing. */
const key: LotusKey = { type: 'secp256k1', privateKey: new Uint8Array(32).fill(7) };
export const clientAddress = formatAddress(keyAddress(key));

export const testWallet: Wallet = {
  address: () => Promise.resolve(clientAddress),
  sign: (message) => Promise.resolve(signWithKey(key, message)),
};

/** A chain whose answers a test sets. Providers f01000… are registered, each with its own owner. */
export function scriptedChain() {
  const state = {
    height: 100_000,
    known: true,
    escrow: 10n ** 20n,
    locked: 0n,
    datacap: (2n ** 50n) as bigint | undefined,
    sectorBytes: 32n * 2n ** 30n,
    minCollateral: 1_000n,
    minerInfoError: undefined as Error | undefined,
  };
  const chain: ProposeChain = {
    head: () => Promise.resolve({ height: state.height, key: [], timestampSeconds: 0 }),
    minerInfo: (id) => {
      if (state.minerInfoError !== undefined) return Promise.reject(state.minerInfoError);
      const multiaddrs = ['/ip4/127.0.0.1/tcp/24001'];
      return Promise.resolve({
        peerId: `peer-of-${id}`,
        multiaddrs,
        sectorBytes: state.sectorBytes,
        owner: `${id}9`,
        worker: `${id}8`,
      });
    },
    lookupId: () => Promise.resolve(state.known ? 'f0777' : undefined),
    marketBalance: () => Promise.resolve({ escrow: state.escrow, locked: state.locked }),
    verifiedClientStatus: () => Promise.resolve(state.datacap),
    providerCollateralBounds: () => Promise.resolve({ min: state.minCollateral, max: state.minCollateral * 100n }),
  };
  return { state, chain };
}

type Answer<T> = T | ((call: number) => T | Promise<T>);

/** A transport whose answers a test sets by provider (its peer id is `peer-of-<id>`), and that keeps what was sent. */
export function scriptedTransport() {
  const sent: { provider: string; dealParams: Uint8Array }[] = [];
  const asked: string[] = [];
  const statusAsked: string[] = [];
  const answers = {
    propose: new Map<string, Answer<ProposeAnswer>>(),
    ask: new Map<string, AskAnswer>(),
    status: new Map<string, StatusAnswer>(),
  };
  const providerOf = (peerId: string) => peerId.replace('peer-of-', '');
  const transport: Transport = {
    propose: async ({ peerId }, dealParams) => {
      const provider = providerOf(peerId);
      sent.push({ provider, dealParams });
      const answer = answers.propose.get(provider) ?? { kind: 'answered', accepted: true, message: '' };
      return typeof answer === 'function'
        ? await answer(sent.filter((one) => one.provider === provider).length)
        : answer;
    },
    status: ({ peerId }) => {
      statusAsked.push(providerOf(peerId));
      return Promise.resolve(answers.status.get(providerOf(peerId)) ?? { kind: 'unknown', why: 'no answer is set' });
    },
    ask: (_target, provider) => {
      asked.push(provider);
      return Promise.resolve(answers.ask.get(provider) ?? { kind: 'answered', ask: freeAsk(provider) });
    },
    close: () => Promise.resolve(),
  };
  return { transport, answers, sent, asked, statusAsked };
}

export function freeAsk(miner: string, change: Partial<Ask> = {}): Ask {
  return { miner, price: 0n, verifiedPrice: 0n, minPieceBytes: 128n, maxPieceBytes: 32n * 2n ** 30n, ...change };
}

export function settableClock(start: Date) {
  let at = start;
  const clock: Clock = { now: () => at };
  return {
    clock,
    advance: (ms: number) => {
      at = new Date(at.getTime() + ms);
    },
  };
}

export const newUuid = (): string => randomUUID();
