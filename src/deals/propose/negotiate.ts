import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import type { Log } from '../../log.ts';
import { backOffMs, PROVIDER_BACK_OFF } from '../send/back-off.ts';
import { choose, type Choice, type UsedProvider } from './choose.ts';
import { judgeAsk, type AskVerdict } from './judge-ask.ts';
import type { Policy } from './policy.ts';
import { noteFailure, setStale, type Provider } from '../providers/provider-store.ts';
import type { Transport } from '../send/transport.ts';

export interface NegotiateDeps {
  db: Kysely<DB>;
  transport: Pick<Transport, 'ask'>;
  clock: Clock;
  random: () => number;
  log: Log;
}

export interface NegotiateInput {
  policy: Policy;
  slotsWanted: number[];
  providers: Provider[];
  used: UsedProvider[];
  pieceBytes: bigint;
}

export interface Negotiated extends Choice {
  /** attoFIL per epoch for the piece, by provider; every chosen provider has one. */
  prices: ReadonlyMap<string, bigint>;
}

async function askTerms(
  deps: NegotiateDeps,
  { policy, pieceBytes }: NegotiateInput,
  provider: Provider,
  signal: AbortSignal,
): Promise<AskVerdict> {
  const { peerId = '', multiaddrs } = provider;
  const answer = await deps.transport.ask({ peerId, multiaddrs }, provider.id, signal);
  signal.throwIfAborted();
  if (answer.kind === 'answered') return judgeAsk({ ask: answer.ask, policy, provider: provider.id, pieceBytes });
  const waitMs = backOffMs(PROVIDER_BACK_OFF, provider.failures + 1, deps.random());
  await noteFailure(deps.db, provider.id, new Date(deps.clock.now().getTime() + waitMs));
  if (answer.kind === 'not-connected') await setStale(deps.db, provider.id);
  deps.log.warn({ provider: provider.id, why: answer.why }, 'provider.ask_failed');
  return { kind: 'refused', reason: `it did not answer a request for its ask: ${answer.why}` };
}

/**
 * Chooses providers, asks those chosen for their terms, and chooses again without those whose terms do not suit. Asks a
 * provider at most once. A provider that does not answer rests, so that the next aggregate does not wait for it too.
 */
export async function negotiate(deps: NegotiateDeps, input: NegotiateInput, signal: AbortSignal): Promise<Negotiated> {
  const byId = new Map(input.providers.map((provider) => [provider.id, provider]));
  const draws = input.providers.map(() => deps.random());
  const prices = new Map<string, bigint>();
  const ruledOut = new Map<string, string>();
  // Each pass asks at least one provider that was not asked before, or is the last.
  for (;;) {
    let drawn = 0;
    const choice = choose({
      ...input,
      candidates: input.providers,
      now: deps.clock.now(),
      ruledOut,
      random: () => draws[drawn++] ?? 0,
    });
    const unasked = choice.chosen.flatMap(({ provider }) => (prices.has(provider) ? [] : (byId.get(provider) ?? [])));
    if (unasked.length === 0) return { ...choice, prices };
    await Promise.all(
      unasked.map(async (provider) => {
        const terms = await askTerms(deps, input, provider, signal);
        if (terms.kind === 'fine') prices.set(provider.id, terms.pricePerEpoch);
        else ruledOut.set(provider.id, terms.reason);
      }),
    );
  }
}
