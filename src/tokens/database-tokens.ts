import type { Kysely } from 'kysely';
import type { Clock } from '../clock.ts';
import type { DB } from '../db/tables.ts';
import { LadingError } from '../errors.ts';
import type { Log } from '../log/log.ts';
import { RecentMap } from '../recent-map.ts';
import { findTokenByDigest, setLastUsed, type Token } from './token-store.ts';
import { isMadeHere } from './token-text.ts';

/** The tokens that operators made, as every request asks for them. */
export interface DatabaseTokens {
  /** The token while it is good. Throws `UNAVAILABLE` when the database cannot say: nobody comes in on a guess. */
  find(token: string, digest: Buffer): Promise<Token | undefined>;
  /** As find, for whoever shows what was made for the token: its session. */
  findByDigest(digest: Buffer): Promise<Token | undefined>;
  /** The next use asks the database: for whoever has just revoked one, and should see it at once. */
  forget(): void;
  /** Writes down when each was last used since the last time. */
  saveLastUsed(): Promise<void>;
}

interface DatabaseTokensDeps {
  kysely: Kysely<DB>;
  clock: Clock;
  log: Pick<Log, 'warn'>;
  /** A name of the configuration is its own: whoever has it in the database as well is not let in. */
  configuredNames: readonly string[];
  /** Milliseconds that only go forward. */
  monotonicMs?: () => number;
}

/** A revoked token opens nothing after this, in no process: short enough to need no telling, and one query a token and two seconds. */
const FRESH_MS = 2_000;
/** More tokens in use at once than this are asked for more often. */
const MAX_KEPT = 10_000;

interface Kept {
  answer: Promise<Token | undefined>;
  untilMs: number;
}

/** Asks the database at the first use and every two seconds of use; requests that come together ask once. */
export function createDatabaseTokens(deps: DatabaseTokensDeps): DatabaseTokens {
  const { kysely, clock, monotonicMs = () => performance.now() } = deps;
  const kept = new RecentMap<string, Kept>(MAX_KEPT);
  const used = new Map<bigint, Date>();
  const ask = (key: string, digest: Buffer): Promise<Token | undefined> => {
    const known = kept.get(key);
    if (known !== undefined && monotonicMs() < known.untilMs) return known.answer;
    const answer = askDatabase(deps, digest);
    // Of the time before the question: an answer may be old when it comes.
    kept.set(key, { answer, untilMs: monotonicMs() + FRESH_MS });
    // What is unknown may be made the next moment, and a fault may be over.
    const forget = () => kept.get(key)?.answer === answer && kept.delete(key);
    answer.then((found) => found === undefined && forget(), forget);
    return answer;
  };
  const findByDigest = async (digest: Buffer): Promise<Token | undefined> => {
    const found = await ask(digest.toString('base64'), digest);
    const now = clock.now();
    if (found === undefined || (found.expiresAt !== undefined && found.expiresAt <= now)) return undefined;
    used.set(found.id, now);
    return found;
  };
  return {
    find: async (token, digest) => (isMadeHere(token) ? await findByDigest(digest) : undefined),
    findByDigest,
    forget: () => kept.clear(),
    async saveLastUsed() {
      const saving = new Map(used);
      if (saving.size === 0) return;
      await setLastUsed(kysely, saving);
      // What was used again meanwhile waits for the next time.
      for (const [id, at] of saving) if (used.get(id) === at) used.delete(id);
    },
  };
}

async function askDatabase(
  { kysely, configuredNames, log }: DatabaseTokensDeps,
  digest: Buffer,
): Promise<Token | undefined> {
  let found: Token | undefined;
  try {
    found = await findTokenByDigest(kysely, digest);
  } catch (cause) {
    const message = 'whether the token is good cannot be told while the database cannot be reached; try again later';
    throw new LadingError('UNAVAILABLE', message, { cause, retry: 'later' });
  }
  if (found === undefined || !configuredNames.includes(found.name)) return found;
  log.warn({ name: found.name, id: found.id.toString() }, 'token.name_is_configured');
  return undefined;
}
