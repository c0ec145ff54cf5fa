import type { Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { noEvidence } from '../propose/candidate.ts';
import { listLoads, listOutcomes } from '../propose/facts-store.ts';
import { countOutcomes, type OutcomeCount } from '../propose/outcomes.ts';
import { findPolicy } from '../propose/policy-store.ts';
import { refusesAll, type Why } from '../propose/rule-out.ts';
import { scoreParts, type ScoreParts } from '../propose/score.ts';
import type { Provider } from './provider-store.ts';

/** What choosing goes by, of one provider: the same figures that the next choice will look at. */
export interface Standing extends ScoreParts {
  successes: number;
  failures: number;
  lastOutcomeAt: Date | undefined;
  activeEpochsBeforeStart: number | undefined;
  inFlightBytes: bigint;
  proposalsLastHour: number;
  /** Why it is asked for nothing at all now, whatever the aggregate. */
  refused: Why | undefined;
  outcomes: OutcomeCount[];
}

/** Three queries, whatever their number. */
export async function listStandings(
  db: Kysely<DB>,
  providers: readonly Provider[],
  now: Date,
): Promise<Map<string, Standing>> {
  const ids = providers.map(({ id }) => id);
  if (ids.length === 0) return new Map();
  const [policy, outcomes, loads] = await Promise.all([
    findPolicy(db),
    listOutcomes(db, now, ids),
    listLoads(db, ids, now),
  ]);
  const evidence = countOutcomes(outcomes);
  const own = Map.groupBy(outcomes, ({ provider }) => provider);
  return new Map(
    providers.map((provider) => {
      const known = evidence.get(provider.id) ?? noEvidence;
      const load = loads.get(provider.id) ?? { inFlightBytes: 0n, proposalsLastHour: 0 };
      const refused = refusesAll({ ...provider, ...known, ...load }, policy, now);
      const outcomesOf = own.get(provider.id) ?? [];
      return [provider.id, { ...known, ...load, ...scoreParts(known, now), refused, outcomes: outcomesOf }];
    }),
  );
}
