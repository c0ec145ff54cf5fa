interface Version<V> {
  height: number;
  value: V | undefined;
}

/**
 * A map that remembers what each key held at every height, so that state can be read as of any tipset and cut back by
 * a reorg. Heights of writes never fall.
 */
export class VersionedMap<K, V> {
  readonly #versions = new Map<K, Version<V>[]>();
  /** Every write in order: what a cut has to undo, without a walk over all keys. */
  readonly #writes: { height: number; key: K }[] = [];

  /** The value after all writes below `before`. */
  get(key: K, before: number = Number.POSITIVE_INFINITY): V | undefined {
    const versions = this.#versions.get(key) ?? [];
    const last = versions.at(-1);
    if (last === undefined || last.height < before) return last?.value;
    let low = 0;
    let high = versions.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((versions[middle]?.height ?? 0) < before) low = middle + 1;
      else high = middle;
    }
    return versions[low - 1]?.value;
  }

  /** `undefined` removes the key from this height on. */
  set(key: K, value: V | undefined, height: number): void {
    const versions = this.#versions.get(key) ?? [];
    const last = versions.at(-1);
    if (last !== undefined && last.height > height) {
      throw new Error(`a write at height ${height} would go behind one at ${last.height}`);
    }
    if (last?.height === height) last.value = value;
    else {
      versions.push({ height, value });
      this.#writes.push({ height, key });
    }
    this.#versions.set(key, versions);
  }

  /** Undoes every write at `height` and above. */
  truncate(height: number): void {
    for (let write = this.#writes.at(-1); write !== undefined && write.height >= height; write = this.#writes.at(-1)) {
      this.#writes.pop();
      const versions = this.#versions.get(write.key);
      versions?.pop();
      if (versions?.length === 0) this.#versions.delete(write.key);
    }
  }

  /** Keys and values after all writes below `before`, in the order the keys first came. */
  *entries(before: number = Number.POSITIVE_INFINITY): Generator<[K, V]> {
    for (const key of this.#versions.keys()) {
      const value = this.get(key, before);
      if (value !== undefined) yield [key, value];
    }
  }
}
