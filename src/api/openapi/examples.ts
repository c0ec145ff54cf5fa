import type { TSchema } from 'typebox';
import { Check } from 'typebox/value';
import type { JsonObject } from '../answers/json-object.ts';
import { asObject } from '../answers/json-object.ts';

const CID = 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi';
const PIECE = 'baga6ea4seaqao7s73y24kcutaosvacpdjgfe5pw76ooefnyqw4ynr3d2y6x2mpq';
const BATCH_ROOT = 'bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae';
const UUID = '0d7a5c1e-8f0b-4b6a-9a3c-2f6d1e5b7c90';
const TIME = '2026-03-01T12:30:00.123456+00:00';
const CURSOR = 'WyIxMDQyIl0';

/** What stands in an example under a name; where a name has several meanings, the first that its schema takes. */
const byName: Record<string, readonly unknown[]> = {
  after: ['81442:0'],
  aggregate: ['1042'],
  by: ['operator'],
  createdBy: ['operator'],
  oldestDue: [TIME],
  webhook: [UUID],
  degraded: ['the chain was not read for 12 minutes'],
  error: ['connection refused'],
  failure: ['blocks of the upload did not arrive in time'],
  from: ['published'],
  kind: ['deal'],
  kinds: ['deal'],
  name: ['upload-service'],
  owners: ['upload-service'],
  reasons: ['fewest open deals of its organization'],
  resolveError: ['no addresses on chain'],
  revokedBy: ['operator'],
  saidStatus: ['Transferring'],
  sealReason: ['full'],
  secret: ['whsec_kept-by-you-alone'],
  stage: ['active'],
  state: ['active', 'sealed', 'enabled'],
  states: ['active'],
  to: ['active'],
  token: ['ldg_shown-once'],
  actor: ['operator'],
  addressSource: ['chain'],
  agent: ['boost-2.4.0'],
  action: ['provider.pause'],
  attempts: [1],
  authorization: ['Bearer lpt_…'],
  carSize: [33_285_996_544],
  capacity: [33_285_996_544],
  chainDealID: [82_931_455],
  code: ['TOO_MANY_DEALS'],
  count: [12],
  cursor: [CURSOR],
  datamodelSelector: ['/Links/0/Hash/Links/12/Hash'],
  detail: ['sector 1042 proven'],
  end: [1_048_576],
  entryCount: [1_042],
  epoch: [4_812_345],
  expiring: ['45d'],
  generation: [0],
  head: ['0aa2'],
  id: [UUID, '1042', 'f01234'],
  instance: [UUID],
  length: [31_000_000_000],
  limit: [100],
  message: ['NFT not found'],
  multiaddrs: ['/dns/sp.example.com/tcp/24001'],
  next: [CURSOR],
  node: ['node.example.com'],
  offset: [97],
  org: ['Example Storage'],
  owner: ['f01233'],
  peerId: ['12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf'],
  pieceSize: [34_359_738_368],
  policyVersion: [7],
  position: [3],
  price: ['0'],
  reason: ['maintenance until Monday', 'waiting_for_provider'],
  reasonCode: ['PROVIDER_REFUSED'],
  region: ['EU'],
  score: [0.93],
  sectorSize: [34_359_738_368],
  selector: ['/Links/0/Hash/Links/12/Hash'],
  size: [132_614],
  slot: [0],
  startEpoch: [4_812_345],
  status: ['ok'],
  statusText: ['containing sector active as of 2026-03-01 12:30:00 at epoch 4812345'],
  subject: ['f01234', 'deal'],
  tail: ['03'],
  terms: [{ replicas: '3', regions: '2' }],
  text: ['the miner takes no deals of this size'],
  transport: ['boost-1.2.1'],
  url: [`https://lading.example.com/piece/${PIECE}`],
  verifiedPrice: ['0'],
};

/** Kinds of text by how their names end, for all names that do not stand above. */
const byEnding: readonly [ending: RegExp, value: string][] = [
  [/piececid$/i, PIECE],
  [/batchrootcid$/i, BATCH_ROOT],
  [/(cids?|saidPublishMessage|root|left|right|block|blocks|first|tipset)$/i, CID],
  [/(miner|provider)$/i, 'f01234'],
  [/(uuid|renews|deal|ids)$/i, UUID],
  [/aggregateid$/i, '1042'],
];

const isTime =
  /^(at|since|before|begun|calledOff|changed|delivered|died|expires|failingSince|firstChange|lastOutcome|lastUsed|moved|released|revoked|created|opened|sealed|added|resolved|retryAt|seen|settled|asked|asOf|last|lastChanged|nextAttempt|oldestAccepted|sealsBy|p\d\d|deal(Activation|Expiration)|.*(Seen|Until|At))$/;

/** Stands where no example is known: no document may have it. */
export const UNKNOWN = '(no example)';

/** Pure: a value that the schema allows and that reads like a real one. `name` is what holds it. */
export function exampleOf(schema: JsonObject, name: string): unknown {
  const { examples, anyOf, properties, items } = schema;
  if (Array.isArray(examples)) return examples[0];
  if ('const' in schema) return schema['const'];
  if (Array.isArray(schema['enum'])) return schema['enum'][0];
  const named = byName[name]?.find((value) => Check(schema as TSchema, value));
  if (named !== undefined) return named;
  if (Array.isArray(anyOf)) return exampleOf(asObject(anyOf.find((one) => asObject(one)['type'] !== 'null')), name);
  if (properties !== undefined) return objectExample(asObject(properties));
  if (items !== undefined) return [exampleOf(asObject(items), name)];
  return plainExample(schema, name);
}

function objectExample(properties: JsonObject): JsonObject {
  const members = Object.entries(properties).map(([name, schema]) => [name, exampleOf(asObject(schema), name)]);
  return Object.fromEntries(members);
}

function plainExample({ type }: JsonObject, name: string): unknown {
  switch (type) {
    case 'string':
      return isTime.test(name) ? TIME : (byEnding.find(([ending]) => ending.test(name))?.[1] ?? UNKNOWN);
    case 'integer':
    case 'number':
      return 1;
    case 'boolean':
      return true;
    case 'null':
      return null;
    default:
      return {};
  }
}
