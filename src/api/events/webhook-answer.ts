import { Type } from 'typebox';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import type { DeadLetter } from '../../events/dead-letter-store.ts';
import type { EventFilter } from '../../events/filter.ts';
import type { Webhook } from '../../events/webhook-store.ts';
import { withoutQuery } from '../../log/redact.ts';
import { exactly, nullableText } from '../answers/schemas.ts';

const shown = {
  id: Type.String(),
  owner: Type.String({ description: 'name of the token that made it' }),
  url: Type.String(),
  filter: exactly({
    cids: Type.Optional(Type.Array(Type.String())),
    aggregate: Type.Optional(Type.String()),
    deal: Type.Optional(Type.String()),
    states: Type.Optional(Type.Array(Type.String())),
    kinds: Type.Optional(Type.Array(Type.String())),
    owner: Type.Optional(Type.String({ description: 'only uploads of this token name' })),
  }),
  created: Type.String(),
  delivered: Type.Union([Type.String(), Type.Null()], { description: 'when a call was last taken' }),
  failing: Type.Union([
    Type.Null(),
    exactly({ since: Type.String(), attempts: Type.Integer(), error: Type.String(), next: nullableText }),
  ]),
  deadLetters: Type.Integer(),
};
export const webhookSchema = exactly(shown);
export const createdSchema = exactly({
  ...shown,
  secret: Type.String({ description: 'signs the calls: shown now and never again' }),
});
const dead = {
  id: Type.String(),
  firstChange: Type.String({ description: 'id of its first change' }),
  changes: Type.Integer(),
  attempts: Type.Integer(),
  error: Type.String(),
  failingSince: Type.String(),
  died: Type.String(),
  redriving: Type.Boolean({ description: 'it was asked for, and is tried once more soon' }),
};
export const deadSchema = exactly(dead);
/** Where those of all webhooks are listed. */
export const anyDeadSchema = exactly({
  ...dead,
  webhook: Type.String({ description: 'id of its webhook' }),
  owner: Type.String({ description: 'name of the token that made the webhook' }),
  url: Type.String({ description: 'without its query, which may hold a secret' }),
});

const timeOf = (at: Date) => formatOffsetTime(at, 'microseconds');

export function webhookAnswer({ id, owner, url, filter, createdAt, deliveredAt, failing, deadLetters }: Webhook) {
  return {
    id,
    owner,
    url,
    filter: filterAnswer(filter),
    created: timeOf(createdAt),
    delivered: deliveredAt && timeOf(deliveredAt),
    failing: failing && {
      since: timeOf(failing.since),
      attempts: failing.attempts,
      error: failing.error,
      next: failing.nextAt && timeOf(failing.nextAt),
    },
    deadLetters,
  };
}

function filterAnswer({ cids, states, kinds, ...rest }: EventFilter) {
  return {
    ...rest,
    ...(cids !== undefined && { cids: [...cids] }),
    ...(states !== undefined && { states: [...states] }),
    ...(kinds !== undefined && { kinds: [...kinds] }),
  };
}

export function deadAnswer({ id, failingSince, diedAt, firstChange, changes, attempts, error, redriving }: DeadLetter) {
  const times = { failingSince: timeOf(failingSince), died: timeOf(diedAt) };
  return { id: id.toString(), firstChange, changes, attempts, error, redriving, ...times };
}

export function anyDeadAnswer(letter: DeadLetter) {
  const { webhookId: webhook, owner, url } = letter;
  return { ...deadAnswer(letter), webhook, owner, url: withoutQuery(url) };
}
