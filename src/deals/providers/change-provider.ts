import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB, ProviderState } from '../../db/tables.ts';
import { BadInput } from '../../errors.ts';
import { writeAudit, type Act } from '../audit.ts';
import { findProvider, setLabels, setProviderState, type Provider, type ProviderLabels } from './provider-store.ts';

/** What an operator may do to a registered provider, and the state it brings. */
export const providerActs = { pause: 'paused', resume: 'enabled', remove: 'removed' } as const satisfies Record<
  string,
  ProviderState
>;
export type ProviderAct = keyof typeof providerActs;

interface ChangeDeps {
  db: Kysely<DB>;
  clock: Clock;
}

/** Long enough for any company's name; shown in tables. */
const MAX_LABEL_CHARS = 64;

function checkLabel(name: string, text: string | undefined): void {
  if (text === undefined) return;
  if (text.length > MAX_LABEL_CHARS || /\p{Cc}/u.test(text) || text.trim() !== text) {
    throw new BadInput(
      'PROVIDER_INVALID',
      `${name}: give up to ${MAX_LABEL_CHARS} characters, without spaces around them`,
    );
  }
}

/** The labels that are given, checked; an empty one takes a label away. */
export function parseLabels({ org, region }: { org?: string | undefined; region?: string | undefined }) {
  checkLabel('org', org);
  checkLabel('region', region);
  return { ...(org !== undefined && { org }), ...(region !== undefined && { region }) };
}

/** Pauses, resumes or removes a provider; undefined when there is none with this id. Deals in flight go on. */
export async function actOnProvider(
  { db, clock }: ChangeDeps,
  id: string,
  { act, by, reason }: Act & { act: ProviderAct },
): Promise<Provider | undefined> {
  return await db.transaction().execute(async (trx) => {
    if (!(await setProviderState(trx, id, providerActs[act]))) return undefined;
    await writeAudit(trx, { actor: by, action: `provider.${act}`, subject: id, reason, at: clock.now() });
    return await findProvider(trx, id);
  });
}

/** Sets who runs a provider and where; undefined when there is none with this id. */
export async function labelProvider(
  { db, clock }: ChangeDeps,
  id: string,
  { labels, by, reason }: Act & { labels: Partial<ProviderLabels> },
): Promise<Provider | undefined> {
  const given = parseLabels(labels);
  if (Object.keys(given).length === 0) throw new BadInput('PROVIDER_INVALID', 'give an org, a region, or both');
  return await db.transaction().execute(async (trx) => {
    if (!(await setLabels(trx, id, given))) return undefined;
    await writeAudit(trx, { actor: by, action: 'provider.set', subject: id, reason, detail: given, at: clock.now() });
    return await findProvider(trx, id);
  });
}
