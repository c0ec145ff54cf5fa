/**
 * The object store port. Keys are `[a-z0-9/_.-]+`, relative, without `..`. Sizes and offsets are bytes.
 * An object is invisible until committed, durable once `commit` returns, and never changes after that.
 */
export interface ObjectStore {
  /** Opens a new object for writing; nothing of it can be read before `commit`. */
  stage(): Promise<StagedObject>;
  /** Exactly `length` bytes from `offset`, in chunks; throws `STORE_OBJECT_MISSING` or `STORE_OBJECT_SHORT`. */
  read(key: string, offset: number, length: number): AsyncIterable<Uint8Array>;
  /** Size in bytes, undefined when there is no such object. */
  size(key: string): Promise<number | undefined>;
  /** Removes an object; removing what is not there is no error. */
  remove(key: string): Promise<void>;
  /** All committed objects, in no particular order. */
  list(): AsyncIterable<StoredObject>;
  /** Bytes that can still be written, undefined where the store has no such bound. */
  freeBytes(): Promise<number | undefined>;
}

export interface StoredObject {
  key: string;
  sizeBytes: number;
  /** When it was committed, by the clock of the store. */
  modifiedAt: Date;
}

export interface StagedObject {
  write(chunk: Uint8Array): Promise<void>;
  /** Makes all that was written visible and durable under `key`, data and name both on disk. */
  commit(key: string): Promise<void>;
  /** Leaves nothing behind; harmless after `commit` or a second time. */
  abort(): Promise<void>;
}
