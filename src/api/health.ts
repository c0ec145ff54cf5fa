import { Type } from 'typebox';
import { describeError } from '../errors.ts';
import { exactly } from './answers/schemas.ts';
import type { Server } from './answers/typed-server.ts';

export interface HealthDeps {
  /** What this process needs to do its work, by name; each throws when it is not ready. */
  readiness: Readonly<Record<string, () => Promise<void>>>;
  /** What does not keep it from its work, but a person who looks should know of, by name: a pause. */
  notices?: () => Promise<Record<string, string>>;
  log: { warn(fields: object, event: string): void };
}

/** A check that fails, with since when, which everybody may know. */
export class NotReady extends Error {
  override readonly name = 'NotReady';
  readonly since: Date | undefined;

  constructor(message: string, since: Date | undefined) {
    super(message);
    this.since = since;
  }
}

/** An orchestrator asks every few seconds: a check that hangs must answer before the next question. */
const CHECK_TIMEOUT_MS = 3_000;

const words = Type.Record(Type.String(), Type.String());
const health = exactly({
  status: Type.String(),
  checks: Type.Optional(words),
  notices: Type.Optional(words),
});

export function healthRoutes(server: Server, deps: HealthDeps): void {
  const config = { access: 'public' } as const;
  const shared = { tags: ['machines'], querystring: exactly({}) };
  const live = {
    ...shared,
    summary: 'Whether the process lives',
    description: 'For an orchestrator: without an answer, start it anew.',
    response: { 200: health },
  };
  const ready = {
    ...shared,
    summary: 'Whether the process can do its work',
    description:
      'What it needs, by name, each `ok` or since when it fails. 503 while anything fails. `notices` tells what is paused by an operator, and since when: that is no failure.',
    response: { 200: health, 503: health },
  };
  server.get('/livez', { config, schema: live }, async () => ({ status: 'ok' }));
  server.get('/readyz', { config, schema: ready }, async (_request, reply) => {
    const checks = Promise.all(Object.entries(deps.readiness).map((entry) => runCheck(entry, deps)));
    const [entries, notices] = await Promise.all([checks, readNotices(deps)]);
    const isReady = entries.every(([, state]) => state === 'ok');
    return reply.code(isReady ? 200 : 503).send({
      status: isReady ? 'ok' : 'not ready',
      checks: Object.fromEntries(entries),
      ...(Object.keys(notices).length > 0 && { notices }),
    });
  });
}

/** Whether they can be read says nothing of whether the process is ready. */
async function readNotices({ notices, log }: HealthDeps): Promise<Record<string, string>> {
  try {
    return notices === undefined ? {} : await inTime(notices());
  } catch (error) {
    log.warn({ error: describeError(error) }, 'readiness.notices_unread');
    return {};
  }
}

/** Says only whether, and since when: what is wrong stands in the log. */
async function runCheck([name, check]: [string, () => Promise<void>], { log }: HealthDeps): Promise<[string, string]> {
  try {
    await inTime(check());
    return [name, 'ok'];
  } catch (error) {
    log.warn({ check: name, error: describeError(error) }, 'readiness.failed');
    const since = error instanceof NotReady ? error.since : undefined;
    return [name, since === undefined ? 'failed' : `failed since ${since.toISOString()}`];
  }
}

async function inTime<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${CHECK_TIMEOUT_MS} ms`)), CHECK_TIMEOUT_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
