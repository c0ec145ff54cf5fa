/** Writes the sha2-256 of each 64 bytes of `pairs` to the 32 bytes of `nodes` in its place; `nodes` is half as long. */
export type HashPairs = (pairs: Uint8Array, nodes: Uint8Array) => void;
