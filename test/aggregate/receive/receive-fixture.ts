import { receiveCar, type ReceiveInput } from '../../../src/aggregate/receive/receive.ts';
import type { ApiFixture } from '../../support/api-fixture.ts';
import { inChunks } from '../../support/car-builder.ts';
import { gather } from '../../support/gather.ts';

const CHUNK_BYTES = 4_096;

/** Receives a CAR as one that came in chunks of a body. */
export function send(fixture: ApiFixture, bytes: Uint8Array, change: Partial<ReceiveInput> = {}) {
  const body = inChunks(bytes, CHUNK_BYTES);
  return receiveCar(fixture.receive, { body, owner: 'service', signal: new AbortController().signal, ...change });
}

export async function uploadRow({ kysely }: ApiFixture, root: string) {
  return await kysely.selectFrom('uploads').selectAll().where('root', '=', root).executeTakeFirstOrThrow();
}

/** The run as later stages read it: parts in order of run_seq. */
export async function storedRun({ kysely, store }: ApiFixture, root: string): Promise<Buffer> {
  const parts = await kysely
    .selectFrom('parts')
    .innerJoin('uploads', 'uploads.id', 'parts.upload_id')
    .selectAll('parts')
    .where('uploads.root', '=', root)
    .where('run_seq', 'is not', null)
    .orderBy('run_seq')
    .execute();
  const reads = parts.map((part) =>
    gather(store.read(part.object_key, Number(part.object_offset), Number(part.length_bytes))),
  );
  return Buffer.concat((await Promise.all(reads)).flat());
}
