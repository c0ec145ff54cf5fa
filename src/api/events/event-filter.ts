import { Type } from 'typebox';
import { BadInput } from '../../errors.ts';
import { changeKinds, changeStates, type ChangeKind } from '../../events/change.ts';
import type { EventFilter } from '../../events/filter.ts';
import { canonicalPiece, canonicalRoot } from '../answers/parse-cid.ts';

/** Names in one filter: each look at the outbox may have to find them all. */
const MAX_CIDS = 200;
/** Longer than any CID we take. */
const MAX_CID_CHARS = 1_100;
const MAX_STATES = 20;

const deal = Type.String({
  pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
  description: 'a deal, by the id that changes and lists give',
});
const aggregate = Type.String({
  maxLength: MAX_CID_CHARS,
  description: 'an aggregate, by its piece CID',
  examples: ['baga6ea4seaqao7s73y24kcutaosvacpdjgfe5pw76ooefnyqw4ynr3d2y6x2mpq'],
});

function oneOrMore(maxItems: number, description: string) {
  const text = Type.String({ maxLength: MAX_CID_CHARS * maxItems });
  return Type.Optional(Type.Union([text, Type.Array(text, { maxItems })], { description }));
}

/** In a query: a name may be given several times, or several values with commas between. */
export const filterQuery = {
  cid: oneOrMore(MAX_CIDS, `uploads, by their root CID; up to ${MAX_CIDS}`),
  aggregate: Type.Optional(aggregate),
  deal: Type.Optional(deal),
  state: oneOrMore(MAX_STATES, `states that a change leads to: ${changeStates.join(', ')}`),
  kind: oneOrMore(changeKinds.length, `what changed: ${changeKinds.join(', ')}`),
};

interface GivenFilter {
  cid?: string | string[];
  aggregate?: string;
  deal?: string;
  state?: string | string[];
  kind?: string | string[];
}

/**
 * What the caller asks for. Whoever names CIDs is told of them, as GET /check tells anybody; else a token of role upload
 * (`owner`: its name) is told of its own uploads alone, as what others store is not theirs to list.
 */
export function readFilter(given: GivenFilter, owner: string | undefined): EventFilter {
  const cids = listOf('cid', given.cid)?.map(canonicalRoot);
  const states = listOf('state', given.state)?.map((state) => known(state, changeStates, 'state'));
  const kinds = listOf('kind', given.kind)?.map((kind) => known<ChangeKind>(kind, changeKinds, 'kind'));
  if (cids !== undefined && cids.length > MAX_CIDS) {
    throw new BadInput('INVALID_REQUEST', `cid: ${cids.length} are named, give up to ${MAX_CIDS}`);
  }
  return {
    ...(cids !== undefined && { cids: [...new Set(cids)] }),
    ...(given.aggregate !== undefined && { aggregate: canonicalPiece(given.aggregate) }),
    ...(given.deal !== undefined && { deal: given.deal }),
    ...(states !== undefined && { states }),
    ...(kinds !== undefined && { kinds }),
    ...(cids === undefined && owner !== undefined && { owner }),
  };
}

/** One that names nothing would be told nothing, for ever. */
function listOf(name: string, given: string | string[] | undefined): string[] | undefined {
  if (given === undefined) return undefined;
  const all = [given].flat().flatMap((text) => text.split(',').map((one) => one.trim()));
  const named = all.filter((text) => text !== '');
  if (named.length === 0) throw new BadInput('INVALID_REQUEST', `${name}: it names nothing; leave it out for all`);
  return named;
}

function known<T extends string>(text: string, all: readonly T[], name: string): T {
  const found = all.find((one) => one === text);
  if (found === undefined) throw new BadInput('INVALID_REQUEST', `${name}: '${text}' is none of ${all.join(', ')}`);
  return found;
}
