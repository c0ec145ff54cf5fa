import { carV1Header, encodeSectionHead, openCar } from '../../filecoin/car.ts';
import { parseCid } from '../../filecoin/cid.ts';
import { IDENTITY } from '../../filecoin/codes.ts';
import type { ObjectStore } from '../../storage/store.ts';
import type { StoredPart } from '../place/cut-store.ts';

type Store = Pick<ObjectStore, 'read'>;

interface RunSource {
  root: string;
  parts: readonly StoredPart[];
  signal: AbortSignal;
}

/** All sections of a run as they are stored, but for blocks that their links carry. Memory: a chunk and a block. */
export async function* readStoredRun(store: Store, source: RunSource): AsyncGenerator<Uint8Array> {
  const { sections } = await openCar(readParts(store, source), undefined, { passing: true });
  for await (const { cid, bytes } of sections) {
    if (cid.multihash.code === IDENTITY) continue;
    yield encodeSectionHead(cid, bytes.length);
    yield bytes;
  }
}

/** Sections alone are no CAR. */
async function* readParts(store: Store, { root, parts, signal }: RunSource): AsyncGenerator<Uint8Array> {
  yield carV1Header(parseCid(root));
  for (const { objectKey, objectOffset, length } of parts) {
    for await (const chunk of store.read(objectKey, objectOffset, length, { passing: true })) {
      signal.throwIfAborted();
      yield chunk;
    }
  }
}
