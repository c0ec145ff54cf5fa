import type { Filling, Placement } from './place-runs.ts';
import {
  largestPlaceable,
  placeUpload,
  withUpload,
  type OpenAggregate,
  type SealRules,
  type WaitingUpload,
} from './placement-rules.ts';

/** A pass over the waiting uploads as far as it has come. */
export interface Pass {
  /** All open aggregates, oldest first. */
  open: readonly OpenAggregate[];
  /** No aggregate could open for a while, so that large uploads may have been left behind. */
  passedOver: boolean;
  /** The aggregates into which this pass has put cuts, by upload. */
  cutsIn: ReadonlyMap<bigint, ReadonlySet<bigint>>;
  /** Uploads one of whose cuts found no place: none of their later cuts may go before it. */
  blocked: ReadonlySet<bigint>;
}

/** Why a plan ends before its queue does. */
export type PlanEnd =
  | { kind: 'done' }
  | { kind: 'open-new'; upload: WaitingUpload }
  | { kind: 'seal-first'; aggregate: OpenAggregate }
  /** An aggregate could open for the next upload while an older one was passed over: that one has the first claim. */
  | { kind: 'overtaking' };

export interface Plan {
  placements: Placement[];
  fillings: Filling[];
  /** After the placements. */
  pass: Pass;
  /** No aggregate can hold them whole. */
  tooLarge: WaitingUpload[];
  unplaceable: WaitingUpload[];
  /** How many of the queue are seen to, the one of `open-new` included. */
  taken: number;
  end: PlanEnd;
}

export function beginPass(open: readonly OpenAggregate[]): Pass {
  return { open, passedOver: false, cutsIn: new Map(), blocked: new Set() };
}

/** Pure: what becomes of waiting uploads, oldest first, up to the first step that needs more than placements. */
export function planPlacements(queue: readonly WaitingUpload[], pass: Pass, rules: SealRules): Plan {
  const draft = new PlanDraft(pass, rules);
  let taken = 0;
  for (const upload of queue) {
    const end = draft.take(upload);
    if (end === undefined || end.kind === 'open-new') taken += 1;
    if (end !== undefined) return draft.finish(taken, end);
  }
  return draft.finish(taken, { kind: 'done' });
}

/** The pass after an upload has opened an aggregate, which holds it already. */
export function withOpened(pass: Pass, aggregate: OpenAggregate, upload: WaitingUpload): Pass {
  return { ...pass, open: [...pass.open, aggregate], cutsIn: withCut(pass.cutsIn, upload, aggregate.id) };
}

function withCut(cutsIn: Pass['cutsIn'], upload: WaitingUpload, aggregateId: bigint): Pass['cutsIn'] {
  if (upload.cut === undefined) return cutsIn;
  return new Map(cutsIn).set(upload.id, new Set([...(cutsIn.get(upload.id) ?? []), aggregateId]));
}

class PlanDraft {
  readonly #before: readonly OpenAggregate[];
  readonly #rules: SealRules;
  readonly #open: OpenAggregate[];
  #passedOver: boolean;
  #cutsIn: Pass['cutsIn'];
  readonly #blocked: Set<bigint>;
  readonly #placements: Placement[] = [];
  readonly #tooLarge: WaitingUpload[] = [];
  readonly #unplaceable: WaitingUpload[] = [];

  constructor({ open, passedOver, cutsIn, blocked }: Pass, rules: SealRules) {
    this.#before = open;
    this.#rules = rules;
    this.#open = [...open];
    this.#passedOver = passedOver;
    this.#cutsIn = cutsIn;
    this.#blocked = new Set(blocked);
  }

  /** Sees to one upload; says why the plan ends here, if it does. */
  take(given: WaitingUpload): PlanEnd | undefined {
    if (this.#isOvertaking()) return { kind: 'overtaking' };
    if (this.#blocked.has(given.id)) return undefined;
    const upload = this.#withHolders(given);
    const step = placeUpload(upload, this.#open, this.#rules);
    switch (step.kind) {
      case 'into':
        this.#place(upload, step.aggregate);
        return undefined;
      case 'open-new':
        return { kind: 'open-new', upload };
      case 'seal-first':
        return { kind: 'seal-first', aggregate: step.aggregate };
      case 'wait':
        this.#blocked.add(upload.id);
        return undefined;
      case 'too-large':
        this.#blocked.add(upload.id);
        this.#tooLarge.push(upload);
        return undefined;
      case 'unplaceable':
        this.#unplaceable.push(upload);
        return undefined;
      default:
        return step;
    }
  }

  finish(taken: number, end: PlanEnd): Plan {
    const fillings = this.#before.flatMap((before) => {
      const after = this.#open.find(({ id }) => id === before.id);
      return after === undefined || after === before ? [] : [{ before, after }];
    });
    const pass = { open: this.#open, passedOver: this.#passedOver, cutsIn: this.#cutsIn, blocked: this.#blocked };
    const { placements, tooLarge, unplaceable } = {
      placements: this.#placements,
      tooLarge: this.#tooLarge,
      unplaceable: this.#unplaceable,
    };
    return { placements, fillings, pass, tooLarge, unplaceable, taken, end };
  }

  /** A steady stream of smaller uploads could otherwise keep a passed-over one waiting for ever. */
  #isOvertaking(): boolean {
    const mayOpen = largestPlaceable(this.#open, this.#rules) === undefined;
    this.#passedOver ||= !mayOpen;
    return mayOpen && this.#passedOver;
  }

  #withHolders(upload: WaitingUpload): WaitingUpload {
    const holders = this.#cutsIn.get(upload.id);
    if (upload.cut === undefined || holders === undefined) return upload;
    return { ...upload, cut: { ...upload.cut, heldBy: new Set([...upload.cut.heldBy, ...holders]) } };
  }

  #place(upload: WaitingUpload, aggregate: OpenAggregate): void {
    const { id, entryCount, lengthBytes } = aggregate;
    this.#placements.push({ aggregateId: id, seq: entryCount, offsetBytes: lengthBytes, upload });
    this.#open[this.#open.indexOf(aggregate)] = withUpload(aggregate, upload);
    this.#cutsIn = withCut(this.#cutsIn, upload, id);
  }
}
