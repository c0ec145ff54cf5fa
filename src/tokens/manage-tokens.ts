import type { Kysely } from 'kysely';
import type { TokenRole } from '../config.ts';
import type { Clock } from '../clock.ts';
import { isUniqueViolation } from '../db/sqlstate.ts';
import type { DB } from '../db/tables.ts';
import { writeAudit, type Act } from '../deals/audit.ts';
import { BadInput, LadingError } from '../errors.ts';
import { findToken, insertToken, setRevoked, type Token } from './token-store.ts';
import { digestOf, formatToken, TOKEN_BYTES } from './token-text.ts';

interface ManageDeps {
  db: Kysely<DB>;
  clock: Clock;
  /** Cryptographically random bytes. */
  randomBytes(count: number): Buffer;
  /** Names that the configuration gives out. */
  configuredNames: readonly string[];
}

interface CreateToken extends Act {
  name: string;
  role: TokenRole;
  expiresAt?: Date | undefined;
}

/** Answers write years with four digits; whoever means never gives none. */
const LAST_EXPIRY = Date.UTC(9999, 11, 31, 23, 59, 59);
/** As the table's own check. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;

function checkToken({ name, expiresAt }: CreateToken, configuredNames: readonly string[], now: Date): void {
  if (!NAME.test(name)) {
    throw new BadInput(
      'TOKEN_INVALID',
      'name: give 1 to 64 letters, digits, dots, dashes, underscores or @, the first a letter or digit',
    );
  }
  if (configuredNames.includes(name)) throw nameTaken(name, 'a token of the configuration (API_TOKENS)');
  if (expiresAt === undefined) return;
  // Not `>`: what is no time at all is neither.
  if (!(expiresAt.getTime() <= LAST_EXPIRY))
    throw new BadInput('TOKEN_INVALID', 'expires: give a time before the year 10000, or none');
  if (expiresAt <= now) throw new BadInput('TOKEN_INVALID', 'expires: give a time that is still to come');
}

function nameTaken(name: string, by: string, cause?: unknown): LadingError {
  return new LadingError('TOKEN_NAME_TAKEN', `the name '${name}' belongs to ${by}`, { cause });
}

/** Makes a token; its text is in this answer and nowhere else. Throws `TOKEN_NAME_TAKEN`, or what is wrong with the input. */
export async function createToken(deps: ManageDeps, given: CreateToken): Promise<{ token: Token; text: string }> {
  const at = deps.clock.now();
  checkToken(given, deps.configuredNames, at);
  const { name, role, expiresAt, by, reason } = given;
  const text = formatToken(deps.randomBytes(TOKEN_BYTES));
  try {
    return await deps.db.transaction().execute(async (trx) => {
      const row = { name, role, digest: digestOf(text), createdAt: at, createdBy: by, expiresAt };
      const token = await insertToken(trx, row);
      const detail = { id: token.id.toString(), role, expires: expiresAt?.toISOString() ?? null };
      await writeAudit(trx, { actor: by, action: 'token.create', subject: `token ${name}`, reason, detail, at });
      return { token, text };
    });
  } catch (error) {
    if (!isUniqueViolation(error, 'tokens_name_not_revoked')) throw error;
    throw nameTaken(name, 'a token that is not revoked: revoke it first', error);
  }
}

/** Revokes it for good; one that is revoked already is answered as it is. Throws `NOT_FOUND`. */
export async function revokeToken(
  { db, clock }: Pick<ManageDeps, 'db' | 'clock'>,
  id: bigint,
  { by, reason }: Act,
): Promise<Token> {
  return await db.transaction().execute(async (trx) => {
    const at = clock.now();
    const revoked = await setRevoked(trx, id, { by, at });
    if (revoked === undefined) {
      const found = await findToken(trx, id);
      if (found === undefined) throw new LadingError('NOT_FOUND', `there is no token ${id}`);
      return found;
    }
    const { name } = revoked;
    const detail = { id: id.toString() };
    await writeAudit(trx, { actor: by, action: 'token.revoke', subject: `token ${name}`, reason, detail, at });
    return revoked;
  });
}
