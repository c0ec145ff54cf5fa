import { randomBytes } from 'node:crypto';
import { systemClock } from '../clock.ts';
import { isTokenRole, readConfig, tokenRoles, type TokenRole } from '../config.ts';
import { commandLineActor } from '../deals/audit.ts';
import { BadInput } from '../errors.ts';
import { countWebhooks } from '../events/webhook-store.ts';
import { parseDurationMs } from '../filecoin/units.ts';
import type { Io } from '../terminal.ts';
import { createToken, revokeToken } from '../tokens/manage-tokens.ts';
import { parseExpiry } from '../tokens/token-expiry.ts';
import { standingOf } from '../tokens/token-standing.ts';
import { findTokenByName, listTokens, type Token } from '../tokens/token-store.ts';
import { jsonOption, parseCommand, positional, table, toJson, type Command } from './command.ts';
import { withDatabase } from './database.ts';

const usage =
  'token create NAME --role upload|ops|read [--expires 90d|TIME] | token list [--all] | token revoke ID|NAME   [--reason TEXT] [--json]';

/** More than an operator reads; of the rest the API tells page by page. */
const MAX_LISTED = 1_000;
const ID = /^[1-9]\d{0,17}$/;

interface Given {
  role?: string | undefined;
  expires?: string | undefined;
  reason?: string | undefined;
}

function configuredNames(io: Io): string[] {
  return readConfig(io.env, 'tool').apiTokens.map(({ name }) => name);
}

function parseRole(role: string | undefined): TokenRole {
  if (role !== undefined && isTokenRole(role)) return role;
  throw new BadInput('USAGE', `give --role ${tokenRoles.join(', or ')}\nusage: lading ${usage}`);
}

/** `90d` from now, or a time of RFC 3339, or a day for its beginning in UTC. */
function expiryOf(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const time = /^[\d-]{10}$/.test(text) ? `${text}T00:00:00Z` : text;
  try {
    return parseExpiry(time) ?? new Date(systemClock.now().getTime() + parseDurationMs(text));
  } catch (cause) {
    const message = `--expires '${text}' is neither a time such as 90d nor a day such as 2030-01-31`;
    throw new BadInput('TOKEN_INVALID', message, { cause });
  }
}

function shown(token: Token, names: readonly string[]) {
  const { id, name, role, createdAt, createdBy, expiresAt, lastUsedAt } = token;
  const state = standingOf(token, { now: systemClock.now(), configuredNames: names });
  const time = (at: Date | undefined) => at?.toISOString() ?? null;
  const times = { created: time(createdAt), createdBy, expires: time(expiresAt), lastUsed: time(lastUsedAt) };
  return { id: id.toString(), name, role, state, ...times };
}

function asTable(tokens: ReturnType<typeof shown>[]): string {
  const rows = tokens.map(({ id, name, role, state, created, createdBy, expires, lastUsed }) => ({
    id,
    name,
    role,
    state,
    created: created ?? '-',
    by: createdBy,
    expires: expires ?? 'never',
    'last used': lastUsed ?? '-',
  }));
  return table(rows, 'no tokens in the database: lading token create NAME --role upload');
}

async function create(io: Io, name: string, given: Given) {
  const act = { by: commandLineActor(), reason: given.reason };
  const wanted = { name, role: parseRole(given.role), expiresAt: expiryOf(given.expires), ...act };
  const names = configuredNames(io);
  return await withDatabase(io, ({ kysely }) =>
    createToken({ db: kysely, clock: systemClock, randomBytes, configuredNames: names }, wanted),
  );
}

/** A name may look like an id: what is a name of a token is meant as one. */
async function revoke(io: Io, word: string, reason: string | undefined): Promise<Token> {
  return await withDatabase(io, async ({ kysely }) => {
    const named = await findTokenByName(kysely, word);
    if (named === undefined && !ID.test(word)) {
      throw new BadInput('NOT_FOUND', `there is no token '${word}' that is not revoked: see lading token list`);
    }
    const deps = { db: kysely, clock: systemClock };
    const revoked = await revokeToken(deps, named?.id ?? BigInt(word), { by: commandLineActor(), reason });
    const webhooks = await countWebhooks(kysely, revoked.name);
    if (webhooks > 0)
      io.say(`${webhooks} webhooks of ${revoked.name} go on: see GET /webhooks, and delete what is not wanted`);
    return revoked;
  });
}

async function list(io: Io, { all, json }: { all: boolean; json: boolean }): Promise<void> {
  const names = configuredNames(io);
  const found = await withDatabase(io, ({ kysely }) => listTokens(kysely, { limit: MAX_LISTED }));
  if (found.length === MAX_LISTED) io.say(`the newest ${MAX_LISTED} tokens; GET /tokens tells of all`);
  const tokens = found.map((token) => shown(token, names)).filter(({ state }) => all || state !== 'revoked');
  io.print(json ? toJson(tokens) : asTable(tokens));
}

export const token: Command = {
  usage,
  summary: 'tokens for the API, beside those of API_TOKENS; one is shown when it is made, and never again',
  async run(args, io) {
    const options = {
      ...jsonOption,
      role: { type: 'string' },
      expires: { type: 'string' },
      reason: { type: 'string' },
      all: { type: 'boolean', default: false },
    } as const;
    const { values, positionals } = parseCommand(args, usage, options);
    const { json, all, reason } = values;
    const word = (at: number, name: string) => positional({ positionals, usage }, at, name);
    const verb = word(0, 'create, list or revoke');
    if (verb === 'list') await list(io, { all, json });
    else if (verb === 'create') {
      const made = await create(io, word(1, 'NAME'), values);
      if (json) io.print(toJson({ ...shown(made.token, []), token: made.text }));
      else {
        io.say(`token ${made.token.name} of role ${made.token.role}; it is not shown again:`);
        io.print(made.text);
      }
    } else if (verb === 'revoke') {
      const revoked = shown(await revoke(io, word(1, 'ID or NAME'), reason), []);
      io.print(
        json ? toJson(revoked) : `token ${revoked.name} (${revoked.id}) is revoked: it opens nothing in two seconds`,
      );
    } else throw new BadInput('USAGE', `usage: lading ${usage}`);
    return 0;
  },
};
