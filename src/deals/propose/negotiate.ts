import type { Kysely } from 'kysely';
import type { Chain } from '../../chain/chain.ts';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import type { Log } from '../../log/log.ts';
import { noteFailure, noteSeen, setAsk, setStale, type StoredAsk } from '../providers/provider-store.ts';
import { isStale, refreshProviders } from '../providers/providers.ts';
import { backOffMs, PROVIDER_BACK_OFF } from '../send/back-off.ts';
import type { AskAnswer, Transport } from '../transport/transport.ts';
import { choose, type Choice } from './choose.ts';
import type { ProviderFacts } from './facts-store.ts';
import type { Want } from './filling.ts';
import { absurdity, freshAsk, toStoredAsk } from './judge-ask.ts';
import type { Policy } from './policy.ts';
import type { Why } from './rule-out.ts';

export interface NegotiateDeps {
  db: Kysely<DB>;
  chain: Pick<Chain, 'minerInfo'>;
  transport: Pick<Transport, 'ask'>;
  clock: Clock;
  random: () => number;
  log: Log;
}

export interface NegotiateInput {
  policy: Policy;
  providers: readonly ProviderFacts[];
  wants: readonly Want[];
}

export interface Negotiated {
  /** In the order of the wants. */
  choices: Choice[];
  /** As they are known after asking; every chosen provider was asked within the age that an ask may have. */
  facts: ReadonlyMap<string, ProviderFacts>;
}

/**
 * How often those chosen are asked and chosen anew without those whose terms do not suit. What was learnt is kept, so
 * that the next try, a minute later, goes on from there.
 */
const MAX_PASSES = 20;
/** Dials at once: more would make our own network the reason of time-outs. */
const ASK_AT_ONCE = 16;

/** What one choosing learns of providers on its way. */
interface Learnt {
  facts: Map<string, ProviderFacts>;
  ruledOut: Map<string, Why>;
  prepared: Set<string>;
}

async function noAnswer(
  deps: NegotiateDeps,
  provider: ProviderFacts,
  answer: Exclude<AskAnswer, { kind: 'answered' }>,
) {
  const waitMs = backOffMs(PROVIDER_BACK_OFF, provider.failures + 1, deps.random());
  await noteFailure(deps.db, provider.id, new Date(deps.clock.now().getTime() + waitMs));
  if (answer.kind === 'not-connected') await setStale(deps.db, provider.id);
  deps.log.warn({ provider: provider.id, why: answer.why }, 'provider.ask_failed');
}

/** Asks a provider for its terms, and keeps them. Answers the ask, or why the provider is out of question. */
async function askTerms(
  deps: NegotiateDeps,
  provider: ProviderFacts,
  signal: AbortSignal,
): Promise<{ ask: StoredAsk | undefined } | Why> {
  const { id, peerId = '', multiaddrs, transport } = provider;
  const answer = await deps.transport.ask({ peerId, multiaddrs, transport }, id, signal);
  signal.throwIfAborted();
  if (answer.kind !== 'answered') {
    await noAnswer(deps, provider, answer);
    return { code: 'unreachable', reason: `it did not answer a request for its ask: ${answer.why}` };
  }
  const at = deps.clock.now();
  await noteSeen(deps.db, id, { via: answer.via, agent: answer.agent, at });
  if (answer.ask === undefined) {
    await setAsk(deps.db, id, undefined);
    return { ask: undefined };
  }
  const { miner } = answer.ask;
  if (miner !== id) return { code: 'ask', reason: `its ask is for another provider, ${miner}` };
  const absurd = absurdity(answer.ask);
  if (absurd !== undefined) return { code: 'ask', reason: absurd };
  const ask = toStoredAsk(answer.ask, at);
  await setAsk(deps.db, id, ask);
  return { ask };
}

/** Brings what is known of a chosen provider up to date: where it listens, and what it asks for. */
async function prepare(deps: NegotiateDeps, learnt: Learnt, id: string, signal: AbortSignal): Promise<void> {
  learnt.prepared.add(id);
  const known = learnt.facts.get(id);
  if (known === undefined) return;
  const now = deps.clock.now();
  const [resolved = known] = isStale(known, now) ? await refreshProviders(deps, [known], signal) : [known];
  let facts: ProviderFacts = { ...known, ...resolved };
  learnt.facts.set(id, facts);
  if (facts.peerId === undefined || facts.multiaddrs.length === 0) return;
  if (freshAsk(facts.ask, now) !== undefined) return;
  const terms = await askTerms(deps, facts, signal);
  if ('code' in terms) learnt.ruledOut.set(id, terms);
  else facts = { ...facts, ask: terms.ask };
  learnt.facts.set(id, facts);
}

/** Providers that nobody could place on the chain yet: without their sector size they are no candidates at all. */
async function resolveNew(deps: NegotiateDeps, input: NegotiateInput, signal: AbortSignal): Promise<ProviderFacts[]> {
  const now = deps.clock.now();
  const isNew = ({ state, sectorBytes, resolvedAt, retryAt }: ProviderFacts) =>
    state === 'enabled' && (sectorBytes === undefined || resolvedAt === undefined) && !(retryAt && retryAt > now);
  const fresh = await refreshProviders(deps, input.providers.filter(isNew), signal);
  const byId = new Map(fresh.map((provider) => [provider.id, provider]));
  return input.providers.map((facts) => ({ ...facts, ...byId.get(facts.id) }));
}

/**
 * Chooses providers for all wants, brings those chosen up to date and asks them for their terms, and chooses again
 * without those that do not suit. A provider is asked at most once, and not while its last ask is young. One that does
 * not answer rests, so that the next aggregate does not wait for it too.
 */
export async function negotiate(deps: NegotiateDeps, input: NegotiateInput, signal: AbortSignal): Promise<Negotiated> {
  const seed = Math.floor(deps.random() * 2 ** 32);
  const resolved = await resolveNew(deps, input, signal);
  const learnt: Learnt = {
    facts: new Map(resolved.map((facts) => [facts.id, facts])),
    ruledOut: new Map(),
    prepared: new Set(),
  };
  for (let pass = 1; ; pass += 1) {
    const { facts, ruledOut, prepared } = learnt;
    const choices = choose({ ...input, candidates: [...facts.values()], now: deps.clock.now(), seed, ruledOut });
    const chosen = new Set(choices.flatMap((choice) => choice.chosen.map(({ provider }) => provider)));
    const unprepared = [...chosen].filter((id) => !prepared.has(id));
    if (unprepared.length === 0) return { choices, facts };
    if (pass === MAX_PASSES) return { choices: onlyThose(choices, prepared), facts };
    for (let at = 0; at < unprepared.length; at += ASK_AT_ONCE) {
      const group = unprepared.slice(at, at + ASK_AT_ONCE);
      await Promise.all(group.map((id) => prepare(deps, learnt, id, signal)));
    }
  }
}

/** The choices without providers that were not asked yet. */
function onlyThose(choices: readonly Choice[], asked: ReadonlySet<string>): Choice[] {
  return choices.map((choice) => ({ ...choice, chosen: choice.chosen.filter(({ provider }) => asked.has(provider)) }));
}
