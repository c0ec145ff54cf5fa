/**
 * The object store port. Keys are `[a-z0-9/_.-]+`, relative, without `..`. Sizes and offsets are bytes.
 * An object is invisible until committed, durable once `commit` returns, and never changes after that.
 */
export interface ObjectStore {
  /**
   * Opens a new object for writing; nothing of it can be read before `commit`. The key comes first because S3 wants
   * it with the first part, and an object is never written twice.
   */
  stage(key: string): Promise<StagedObject>;
  /** Exactly `length` bytes from `offset`, in chunks; throws `STORE_OBJECT_MISSING` or `STORE_OBJECT_SHORT`. */
  read(key: string, offset: number, length: number, options?: ReadOptions): AsyncIterable<Uint8Array>;
  /** Size in bytes, undefined when there is no such object. */
  size(key: string): Promise<number | undefined>;
  /** Removes an object; removing what is not there is no error. */
  remove(key: string): Promise<void>;
  /** All committed objects, in no particular order. */
  list(): AsyncIterable<StoredObject>;
  /** Bytes that can still be written, undefined where the store has no such bound. */
  freeBytes(): Promise<number | undefined>;
}

export interface ReadOptions {
  /**
   * A chunk is good until the next one is asked for, and whoever keeps something of it copies it. Then the store may use
   * its memory again: reading an aggregate otherwise has a full collection of garbage every 30 MiB.
   */
  passing?: boolean;
}

export interface StoredObject {
  key: string;
  sizeBytes: number;
  /** When it was committed, by the clock of the store. */
  modifiedAt: Date;
}

export interface StagedObject {
  /** Takes the bytes; the caller may use its buffer again once this resolves. Calls must not overlap. */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Makes all that was written visible and durable, data and name both. Where the key holds an object of this size (a
   * repeated step), ours is dropped; one of another size is `STORE_OBJECT_EXISTS`.
   */
  commit(): Promise<void>;
  /** Leaves nothing behind; harmless after `commit` or a second time. */
  abort(): Promise<void>;
}

/** What a service needs of its store besides objects. */
export interface ServiceStore extends ObjectStore {
  /** Resolves when the store answers; throws why it does not. */
  probe(): Promise<void>;
  /**
   * Removes what killed processes left unfinished: what nobody has written to for `graceMs`. With 0 all of it, which
   * only the sole user of the store may do, before it stages anything. Answers how many.
   */
  sweepStaging(graceMs: number): Promise<number>;
  close(): void;
}
