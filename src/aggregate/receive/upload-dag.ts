import type { CID } from 'multiformats/cid';
import { BadInput } from '../../errors.ts';
import { linksOf } from '../../filecoin/dag.ts';
import { DagTracker, keyBytes, keyOf, type Missing, type TrackedSection } from './dag-tracker.ts';
import { joinSections } from './join-sections.ts';
import { MAX_RANGES } from './part-store.ts';
import { HELD_CIDS, maxLinksOf, type ReceiveLimits } from './receive-limits.ts';
import { RecentKeys } from './recent-keys.ts';
import { SectionLog, type SectionNote } from './section-log.ts';

/** A stretch of the stored object whose blocks are the run. Bytes. */
export interface RunRange {
  offset: number;
  lengthBytes: number;
  blockCount: number;
}

/** What is to be known of the DAG once all of it came. */
export interface DagFacts {
  /** Undefined when every link of the DAG under the root resolves. */
  missing: Missing | undefined;
  runBytes: number;
  dagBytes: number;
  blockCount: number;
  /** The run in the stored object, without what is repeated. */
  ranges: RunRange[];
  /** The sections in their order, as often as they are wanted. */
  sections(): Iterable<TrackedSection> | AsyncIterable<TrackedSection>;
}

interface UploadDagOptions {
  /** Whose block is looked out for; undefined while it is known to nobody. */
  root?: CID | undefined;
  limits: ReceiveLimits;
  /** Where the file lies that takes what is too much for memory. */
  spillFolder: string;
}

/**
 * The blocks of one CAR and their links: in memory while they are few, in a file from then on. Memory is bounded either
 * way, and so is what may come. Throws `TOO_MANY_BLOCKS`, `TOO_MANY_LINKS`.
 */
export class UploadDag {
  readonly #options: UploadDagOptions;
  readonly #rootKey: Uint8Array | undefined;
  #tracker: DagTracker | undefined;
  #spilled: Spilled | undefined;
  readonly #sum = { runBytes: 0, dagBytes: 0, blockCount: 0 };
  #holdsRoot = false;

  constructor(options: UploadDagOptions) {
    this.#options = options;
    this.#rootKey = options.root && keyBytes(options.root);
    const { maxBlocks, heldCids = HELD_CIDS } = options.limits;
    this.#tracker = new DagTracker(Math.min(heldCids, maxBlocks));
  }

  get holdsRoot(): boolean {
    return this.#holdsRoot;
  }

  /** Bytes of disk taken beside the object. */
  get spilledBytes(): number {
    return this.#spilled?.log.bytes ?? 0;
  }

  /** Notes a block; false when it came before and is not to be stored. A promise only where a file is written. */
  note(cid: CID, bytes: Uint8Array, sectionBytes: number): boolean | Promise<boolean> {
    const held = this.#tracker?.add(cid, bytes, sectionBytes);
    if (held === 'repeated') return false;
    if (held === 'full') return this.#spill().then(() => this.note(cid, bytes, sectionBytes));
    const key = keyBytes(cid);
    const written = this.#spilled?.add(key, {
      sectionBytes,
      blockBytes: bytes.length,
      links: () => linksOf(cid, bytes),
    });
    if (written === 'repeated') return false;
    this.#sum.runBytes += sectionBytes;
    this.#sum.dagBytes += bytes.length;
    this.#sum.blockCount += 1;
    this.#holdsRoot ||= this.#rootKey !== undefined && Buffer.compare(key, this.#rootKey) === 0;
    return written === undefined ? true : written.then(() => true);
  }

  async #spill(): Promise<void> {
    const { limits, spillFolder } = this.#options;
    const spilled = new Spilled(await SectionLog.open(spillFolder), limits);
    this.#spilled = spilled;
    for (const section of this.#tracker?.sections() ?? []) await spilled.append(section);
    this.#tracker = undefined;
  }

  /** All came, of the DAG under this root. Throws `PART_TOO_SCATTERED`. */
  async conclude(root: CID): Promise<DagFacts> {
    const tracker = this.#tracker;
    if (tracker === undefined) return await this.#concludeSpilled();
    const { runBytes, blockCount } = this.#sum;
    return {
      ...this.#sum,
      missing: tracker.missingBelow(root),
      ranges: [{ offset: 0, lengthBytes: runBytes, blockCount }],
      sections: () => tracker.sections(),
    };
  }

  /**
   * When all links resolve, those below the root do. When some do not, they may hang on blocks that the root does not
   * reach, which only following the links tells: settling does that, and takes what is said here for a guess.
   */
  async #concludeSpilled(): Promise<DagFacts> {
    const log = this.#spilled?.log;
    if (log === undefined) throw new Error('what is not in memory is in a file');
    const { repeated, unresolved: missing } = await joinSections(log, this.#options.spillFolder);
    const isRepeated = (number: number) => repeated.has(number);
    const sections = () => numbered(log, isRepeated);
    if (missing !== undefined) return { ...this.#sum, missing, ranges: [], sections };
    if (repeated.count > 0) return { ...(await layOutRun(sections())), missing, sections };
    const { runBytes, blockCount } = this.#sum;
    return { ...this.#sum, missing, ranges: [{ offset: 0, lengthBytes: runBytes, blockCount }], sections };
  }

  /** Gives the disk back. */
  async close(): Promise<void> {
    await this.#spilled?.log.close();
  }
}

interface SpilledBlock {
  sectionBytes: number;
  blockBytes: number;
  links(): CID[];
}

/** What came since memory was full, and before. */
class Spilled {
  readonly log: SectionLog;
  readonly #limits: ReceiveLimits;
  /** Blocks that repeat soon are dropped as they come; those further apart leave a hole in the object. */
  readonly #recent = new RecentKeys();
  #blocks = 0;
  #links = 0;

  constructor(log: SectionLog, limits: ReceiveLimits) {
    this.log = log;
    this.#limits = limits;
  }

  /** 'repeated': the block came just before. A promise only where the file is written. */
  add(key: Uint8Array, { sectionBytes, blockBytes, links }: SpilledBlock): Promise<void> | 'repeated' | undefined {
    if (!this.#recent.add(key)) return 'repeated';
    return this.append({ key, sectionBytes, blockBytes, links: distinctKeys(links()) });
  }

  append(section: SectionNote): Promise<void> | undefined {
    this.#blocks += 1;
    this.#links += section.links.length;
    const { maxBlocks } = this.#limits;
    const maxLinks = maxLinksOf(maxBlocks);
    if (this.#blocks > maxBlocks) throw tooMany('TOO_MANY_BLOCKS', `${maxBlocks} blocks`, { maxBlocks });
    if (this.#links > maxLinks) throw tooMany('TOO_MANY_LINKS', `${maxLinks} links`, { maxLinks });
    return this.log.append(section);
  }
}

function distinctKeys(links: readonly CID[]): Uint8Array[] {
  const byText = new Map<string, Uint8Array>();
  for (const link of links) byText.set(keyOf(link), keyBytes(link));
  return [...byText.values()];
}

function tooMany(code: string, what: string, details: Record<string, number>): BadInput {
  return new BadInput(code, `the upload has more than ${what}: send it as several uploads`, { details });
}

async function* numbered(log: SectionLog, isRepeated: (number: number) => boolean): AsyncGenerator<TrackedSection> {
  let number = 0;
  for await (const section of log.sections()) {
    yield { ...section, repeated: isRepeated(number) };
    number += 1;
  }
}

/** The object without its repeated sections. */
async function layOutRun(sections: AsyncIterable<TrackedSection>): Promise<Omit<DagFacts, 'missing' | 'sections'>> {
  const ranges: RunRange[] = [];
  const sum = { runBytes: 0, dagBytes: 0, blockCount: 0 };
  let open: RunRange | undefined;
  let offset = 0;
  for await (const { sectionBytes, blockBytes, repeated } of sections) {
    if (repeated) open = undefined;
    else {
      if (open === undefined) {
        open = { offset, lengthBytes: 0, blockCount: 0 };
        ranges.push(open);
        if (ranges.length > MAX_RANGES) throw tooScattered();
      }
      open.lengthBytes += sectionBytes;
      open.blockCount += 1;
      sum.runBytes += sectionBytes;
      sum.dagBytes += blockBytes;
      sum.blockCount += 1;
    }
    offset += sectionBytes;
  }
  return { ...sum, ranges };
}

function tooScattered(): BadInput {
  const message = `the CAR repeats blocks at more than ${MAX_RANGES} places, far from where they came first: send each block once`;
  return new BadInput('PART_TOO_SCATTERED', message, { details: { maxRanges: MAX_RANGES } });
}
