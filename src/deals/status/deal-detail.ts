import type { Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { listChoices, type StoredChoice } from '../propose/choice-store.ts';
import { findDelivery, type Delivery } from '../send/transfer-store.ts';
import { findDeal, listDealEvents, type DealEvent, type ListedDeal } from './deal-list.ts';
import { findDealTerms, type DealTerms } from './deal-terms.ts';

/** A deal as the list has it, with all that is told of it alone: what the API and the command line show. */
export interface DealDetail extends ListedDeal {
  events: DealEvent[];
  /** The newest decisions on its aggregate; all of them are in a list of their own. */
  choices: StoredChoice[];
  delivery: Delivery | undefined;
  terms: DealTerms;
}

const CHOICES_SHOWN = 5;

export async function findDealDetail(kysely: Kysely<DB>, id: string): Promise<DealDetail | undefined> {
  const deal = await findDeal(kysely, id);
  if (deal === undefined) return undefined;
  const events = await listDealEvents(kysely, id);
  const choices = await listChoices(kysely, deal.aggregateId, { limit: CHOICES_SHOWN });
  const terms = await findDealTerms(kysely, id);
  return { ...deal, events, choices, delivery: await findDelivery(kysely, id), terms };
}
