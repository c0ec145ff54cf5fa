import { expect, test } from 'vitest';
import { listPlacedRuns } from '../../../src/aggregate/bytes/placed-runs.ts';
import { listRunBlocks, proveRun } from '../../../src/aggregate/bytes/prove.ts';
import { cutUpload } from '../../../src/aggregate/place/cut.ts';
import { sealNow } from '../../../src/aggregate/place/stow.ts';
import { seal } from '../../../src/aggregate/seal/seal.ts';
import { verifyUpload } from '../../../src/client/verify.ts';
import { proofToJson, type InclusionProof } from '../../../src/filecoin/inclusion-proof.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import { car, pbNode, rawBlock, sections, type Block } from '../../support/car-builder.ts';
import { testDatabase } from '../../support/database.ts';
import { checkProof } from '../../support/proof-checker.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { insertUpload, never, putObject, rules, stowDeps } from '../aggregate-fixture.ts';
import { countCuts, placeCut } from '../place/placed-cuts.ts';

/** Three nodes over 60 leaves each, the nodes after their leaves: what the parts begin with comes late in the CAR. */
function wideUpload(): { root: Block; blocks: Block[] } {
  const leaves = Array.from({ length: 180 }, (_, at) => rawBlock(Buffer.alloc(900 + at, `leaf ${at} `)));
  const groups = [0, 60, 120].map((from) => leaves.slice(from, from + 60));
  const nodes = groups.map((group) => pbNode(group));
  const root = pbNode(nodes);
  return { root, blocks: [...groups.flatMap((group, at) => [...group, ...nodes.slice(at, at + 1)]), root] };
}

test('a cut upload has a proof for each part, which verify from its CAR whatever its order', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  const deps = { ...(await stowDeps(db)), store };
  const { root, blocks } = wideUpload();
  const run = sections(blocks);
  await putObject(store, 'runs/wide', run);
  const part = { key: 'runs/wide', offset: 0, length: run.length, blocks: blocks.length, runSeq: 0 };
  const id = await insertUpload(db.kysely, { root: root.cid.toString(), blocks, parts: [part] });
  await cutUpload(deps, id, never);
  for (let cut = 0; cut < (await countCuts(db.kysely, id)); cut += 1) {
    const aggregate = await placeCut(db.kysely, rules, id, cut);
    await sealNow(deps, aggregate);
    await seal(deps, aggregate, never);
  }
  const byName = new Map(blocks.map((block) => [block.cid.toString(), block]));
  const runs = await listPlacedRuns(db.kysely, root.cid.toString(), { limit: 100 });
  expect(runs.length).toBeGreaterThan(2);
  const proofs: InclusionProof[] = [];
  for (const placed of runs) {
    expect(placed).toMatchObject({ isPart: true, isReleased: false });
    const list = await listRunBlocks(deps, placed, never);
    const proof = { ...(await proveRun(deps, placed, never)), deals: [], blocks: list };
    // A verifier of data-segment alone accepts the part's own bytes.
    const own = sections(list.map((cid) => byName.get(cid) ?? rawBlock('')));
    expect(checkProof(proofToJson(proof), own).pieceCid).toBe(placed.pieceCid);
    expect(list[0]).toBe(root.cid.toString());
    proofs.push(proof);
  }
  for (const ordered of [blocks, blocks.toReversed(), [root, ...blocks.slice(0, -1)]]) {
    const found = await verifyUpload({ car: new Blob([car([root.cid], ordered)]), proofs });
    expect(found).toMatchObject({ verified: true, uncoveredBlocks: 0 });
  }
  const whole = car([root.cid], blocks);
  const partial = await verifyUpload({ car: whole, proofs: proofs.slice(1) });
  const [first] = partial.firstUncovered ?? [];
  expect(partial).toMatchObject({ verified: false, proofs: proofs.slice(1).map(() => ({ verified: true })) });
  expect(partial.uncoveredBlocks).toBeGreaterThan(30);
  expect(proofs[0]?.blocks).toContain(first);
  const damaged = Buffer.from(whole);
  damaged.writeUInt8(damaged.readUInt8(300) ^ 1, 300);
  expect((await verifyUpload({ car: damaged, proofs })).verified).toBe(false);
  const { blocks: _, ...without } = proofs[0] ?? { blocks: [] };
  if ('root' in without) expect((await verifyUpload({ car: whole, proofs: [without] })).verified).toBe(false);
});
