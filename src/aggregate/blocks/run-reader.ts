import type { ObjectStore } from '../../storage/store.ts';
import type { RunLayout } from '../place/cut-extents.ts';

/** A jump forward of no more is read over: opening the store anew costs about as much. */
const SKIP_BYTES = 512 * 1024;
/** What the window holds at first: two chunks of the store. */
const WINDOW_BYTES = 1024 * 1024;

type Store = Pick<ObjectStore, 'read'>;

/**
 * Reads an upload's run anywhere, through a window of its bytes. Whoever goes on where he was reads one stream of the store
 * at its speed; whoever jumps reads what he asks for and no more. One caller at a time.
 */
export class RunReader {
  readonly #store: Store;
  readonly #layout: Pick<RunLayout, 'placeAt'>;
  readonly #signal: AbortSignal;
  #window = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  /** The bytes of the run in the window; `end` is exclusive, and where the stream goes on. */
  #start = 0;
  #end = 0;
  #stream: AsyncIterator<Uint8Array> | undefined;

  constructor(store: Store, layout: Pick<RunLayout, 'placeAt'>, signal: AbortSignal) {
    this.#store = store;
    this.#layout = layout;
    this.#signal = signal;
  }

  /** The bytes if they are in the window: a view that is good until the next `take`. */
  here(offset: number, length: number): Uint8Array | undefined {
    if (offset < this.#start || offset + length > this.#end) return undefined;
    return this.#window.subarray(offset - this.#start, offset - this.#start + length);
  }

  /** Exactly these bytes, a view that is good until the next `take`. They must be within the run. */
  async take(offset: number, length: number): Promise<Uint8Array> {
    const here = this.here(offset, length);
    if (here !== undefined) return here;
    const goesOn = offset >= this.#start && offset <= this.#end + SKIP_BYTES && this.#end > 0;
    if (goesOn) await this.#moveTo(offset);
    else await this.#jumpTo(offset);
    while (this.#end < offset + length) await this.#fill(goesOn ? Infinity : offset + length - this.#end);
    return this.#window.subarray(0, length);
  }

  /** Lets go of the store; harmless a second time. */
  async close(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    await stream?.return?.();
  }

  /** The window begins there, with what it has from there on. */
  async #moveTo(offset: number): Promise<void> {
    while (this.#end < offset) {
      this.#start = this.#end;
      await this.#fill(Infinity);
    }
    this.#window.copyWithin(0, offset - this.#start, this.#end - this.#start);
    this.#start = offset;
  }

  async #jumpTo(offset: number): Promise<void> {
    await this.close();
    this.#start = offset;
    this.#end = offset;
  }

  /** Takes the next chunk into the window; a stream that must be opened for it gives no more than so many bytes. */
  async #fill(most: number): Promise<void> {
    this.#signal.throwIfAborted();
    this.#stream ??= this.#open(most);
    const next = await this.#stream.next();
    if (next.done === true) {
      this.#stream = undefined;
      return;
    }
    const held = this.#end - this.#start;
    this.#makeRoom(held, next.value.length);
    this.#window.set(next.value, held);
    this.#end += next.value.length;
  }

  #open(most: number): AsyncIterator<Uint8Array> {
    const { objectKey, objectOffset, length } = this.#layout.placeAt(this.#end);
    const bytes = this.#store.read(objectKey, objectOffset, Math.min(length, most), { passing: true });
    return bytes[Symbol.asyncIterator]();
  }

  #makeRoom(held: number, more: number): void {
    if (held + more <= this.#window.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(held + more, this.#window.length * 2));
    this.#window.copy(larger, 0, 0, held);
    this.#window = larger;
  }
}
