import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { canonicalCid, parseCid } from '../../filecoin/cid.ts';
import type { PinSight } from '../decide-pin.ts';

/** What we read of a line of `GET /pins`; the rest differs between versions, and says nothing that we need. */
const pinInfo = Type.Object({
  cid: Type.String(),
  peer_map: Type.Record(Type.String(), Type.Object({ status: Type.String(), error: Type.Optional(Type.String()) })),
});

const checked = Compile(pinInfo);

type PeerMap = Static<typeof pinInfo>['peer_map'];

/** States of a peer that is to pin it and does not, from the cluster's own list (api/types.go of 1.1.6). */
const ERRORS: ReadonlySet<string> = new Set(['pin_error', 'cluster_error', 'error', 'undefined']);
/** Told instead of a reason that is not given. */
const NO_REASON = 'the peer gave no reason';
/** More of a peer's error says nothing to anybody. */
const MAX_ERROR_CHARS = 500;

/** Pure. The best peer wins; `remote` is a peer that is not asked to pin it. */
export function judgePeers(peers: PeerMap): PinSight {
  const asked = Object.values(peers).filter(({ status }) => status !== 'remote' && status !== 'sharded');
  const has = (...statuses: string[]) => asked.some(({ status }) => statuses.includes(status));
  if (has('pinned')) return { kind: 'pinned' };
  if (has('pinning')) return { kind: 'pinning' };
  if (has('pin_queued', 'queued')) return { kind: 'queued' };
  const failed = asked.filter(({ status }) => ERRORS.has(status));
  if (failed.length > 0) return { kind: 'error', error: reasonOf(failed) };
  const said = [...new Set(asked.map(({ status }) => status))].sort().join(', ');
  return { kind: 'lost', error: `no peer of the IPFS Cluster is to pin it (${said || 'no peer'})` };
}

function reasonOf(failed: readonly { status: string; error?: string }[]): string {
  const told = failed.find(({ error }) => error !== undefined && error !== '') ?? failed[0];
  return `${told?.status}: ${told?.error || NO_REASON}`.slice(0, MAX_ERROR_CHARS);
}

/** What a line says, by the CID as we write it (CIDv1 base32); undefined: it is no such line. */
export function readPinInfo(line: string): { root: string; sight: PinSight } | undefined {
  let told: unknown;
  try {
    told = JSON.parse(line);
    if (!checked.Check(told)) return undefined;
    return { root: canonicalCid(parseCid(told.cid)), sight: judgePeers(told.peer_map) };
  } catch {
    return undefined;
  }
}
