import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { expect, test } from 'vitest';
import { receiveCar } from '../../../src/aggregate/receive/receive.ts';
import { seal } from '../../../src/aggregate/seal/seal.ts';
import { sealNow, stow } from '../../../src/aggregate/place/stow.ts';
import { silentLog } from '../../../src/log/log.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import { brokenBytes } from '../../checker/check-bytes.ts';
import { asV0, car, cborNode, cidOf, DAG_CBOR, inChunks, pbNode, RAW, rawBlock } from '../../support/car-builder.ts';
import { testDatabase } from '../../support/database.ts';
import { gather } from '../../support/gather.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { brokenRows, never, stowDeps, withClient } from '../aggregate-fixture.ts';

function identity(codec: number, bytes: Uint8Array) {
  return { cid: CID.createV1(codec, createDigest(0, bytes)), bytes };
}

const leaf = rawBlock('a leaf that several uploads share');
const folder = pbNode([leaf]);
const inline = identity(DAG_CBOR, cborNode([leaf.cid]).bytes);
const asRaw = { cid: cidOf(RAW, folder.bytes), bytes: folder.bytes };
const twice = pbNode([folder, folder, asV0(folder).cid, asRaw.cid]);
const empty = rawBlock('');
const holder = cborNode({ inline: inline.cid, none: identity(RAW, new Uint8Array()).cid });

/** Sound uploads, each odd in its way. */
const odd: [string, Buffer][] = [
  ['version 0 throughout', car([asV0(folder).cid], [asV0(folder), leaf])],
  [
    'one block in both versions, and its bytes under another codec',
    car([twice.cid], [twice, asV0(folder), folder, asRaw, leaf, folder]),
  ],
  ['an identity root', car([inline.cid], [inline, leaf])],
  ['nothing but an identity root', car([identity(RAW, Buffer.from('hi')).cid], [identity(RAW, Buffer.from('hi'))])],
  ['an empty block', car([empty.cid], [empty])],
  ['links behind an identity link that has no section', car([holder.cid], [leaf, holder])],
  ['blocks of no use', car([leaf.cid], [rawBlock('nobody links here'), leaf])],
];

test('odd but sound uploads are all found in the sealed CAR, from its root on', async () => {
  await using db = await testDatabase();
  await using place = await temporaryFolder();
  const store = await openLocalStore(place.path);
  const deps = { ...(await stowDeps(db)), store };
  const limits = { maxUploadBytes: 100_000n, maxBlocks: 100, minFreeBytes: 0n };
  const receive = { kysely: db.kysely, store, jobs: deps.jobs, clock: deps.clock, log: silentLog, limits };
  for (const [name, bytes] of odd) {
    const received = await receiveCar(receive, { body: inChunks(bytes, 50), owner: 'service', signal: never });
    expect(received.complete, name).toBe(true);
  }
  await stow(deps, never);
  const { id } = await db.kysely.selectFrom('aggregates').select('id').executeTakeFirstOrThrow();
  await sealNow(deps, id);
  await seal(deps, id, never);
  const sealed = await db.kysely.selectFrom('aggregates').select(['state', 'entry_count']).execute();
  expect(sealed).toEqual([{ state: 'sealed', entry_count: odd.length }]);
  const readObject = async (key: string) =>
    Buffer.concat(await gather(store.read(key, 0, (await store.size(key)) ?? 0)));
  expect(await withClient(db, (client) => brokenBytes(client, readObject))).toEqual([]);
  expect(await brokenRows(db)).toEqual([]);
});
