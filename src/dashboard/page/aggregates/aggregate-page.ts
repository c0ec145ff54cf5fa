import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { ListedAggregate } from '../answers.ts';
import { callApi } from '../data/call-api.ts';
import { useResource } from '../data/use-resource.ts';
import { formatBytes, formatCount, formatShare, plainWords } from '../format.ts';
import { StateChip } from '../parts/chip.ts';
import { ActionButton } from '../parts/dialog.ts';
import { Bytes, ExactTime, Time } from '../parts/figures.ts';
import { Name } from '../parts/names.ts';
import { Facts, Page, Panel, Stat, Stats } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { WithData } from '../parts/states.ts';
import type { PageProps } from '../page-props.ts';
import { ChunkStrip, type Chunks } from './chunk-strip.ts';
import { fillOf } from './fill.ts';
import type { Segment } from './lay-out-map.ts';
import { Decisions, KeptBy } from './kept-by.ts';
import { Replicas } from './replicas.ts';
import { RunMap } from './run-map.ts';
import { Runs } from './runs.ts';

interface Inside extends ListedAggregate {
  chunks: Chunks;
  segments: Segment[];
}

export function AggregatePage({ params }: PageProps): VNode {
  const name = params['id'] ?? '';
  const path = `/aggregates/${encodeURIComponent(name)}`;
  const inside = useResource<Inside>(`${path}/inside`, { topics: ['aggregates', 'deals', 'policy'] });
  const { data } = inside;
  return part(
    Page,
    {
      title: data === undefined ? 'Aggregate' : `Aggregate ${data.id}`,
      up: { href: '/dashboard/aggregates', text: 'Aggregates' },
      ...(data?.state === 'open' && { actions: part(SealNow, { aggregate: data, reload: inside.reload }) }),
    },
    part(WithData<Inside>, { resource: inside, children: (found) => part(Body, { inside: found, path }) }),
  );
}

function SealNow({ aggregate, reload }: { aggregate: ListedAggregate; reload: () => void }): VNode {
  const { id, entryCount, length } = aggregate;
  return part(ActionButton, {
    label: 'Seal now',
    title: `Seal aggregate ${id} now?`,
    text: `It is closed with ${formatCount(entryCount)} uploads (${formatBytes(length)}) and becomes a piece. That cannot be undone.`,
    verb: 'Seal it',
    done: `Aggregate ${id} is being sealed`,
    ...(entryCount === 0 && { disabled: 'It holds no upload yet' }),
    act: async (reason) => {
      await callApi(`/aggregates/${id}/seal`, { method: 'POST', body: { reason } });
      reload();
    },
  });
}

function Body({ inside, path }: { inside: Inside; path: string }): VNode {
  const { state, chunks, segments, replicas, length, entryCount, id } = inside;
  const { value, max } = fillOf(inside);
  return html`${part(
    Stats,
    {},
    part(Stat, { label: 'State', value: part(StateChip, { state }), hint: stateHint(inside) }),
    part(Stat, {
      label: 'Fill',
      value: formatShare(value / max),
      hint: html`${part(Bytes, { value: length })} of ${part(Bytes, { value: max })}`,
    }),
    part(Stat, {
      label: 'Uploads',
      value: formatCount(entryCount),
      hint: inside.oldestAccepted === null ? 'none yet' : html`oldest ${part(Time, { at: inside.oldestAccepted })}`,
    }),
    part(Stat, {
      label: 'Replicas',
      value: part(Replicas, { replicas }),
      hint: replicas === null ? 'once it is sealed' : `${replicas.live} with a deal, ${replicas.wanted} wanted`,
    }),
  )}
  ${part(Panel, { title: 'Map of its bytes' }, part(RunMap, { aggregate: inside, segments }), part(ChunkStrip, { chunks, isSealed: state === 'sealed' }))}
  ${state === 'sealed' ? html`${part(KeptBy, { id, replicas })}${part(Decisions, { path })}` : ''}
  ${part(Panel, { title: 'Facts' }, part(Facts, { facts: factsOf(inside) }))}
  ${part(Runs, { path })}`;
}

function stateHint({ sealReason, released }: Inside): string {
  if (released !== null) return 'its bytes are not kept here any more';
  return sealReason === null ? 'takes uploads' : `closed by ${plainWords(sealReason)}`;
}

function factsOf(one: Inside) {
  return [
    ['Piece CID', part(Name, { text: one.pieceCid, label: 'piece CID' })],
    ['Batch root', part(Name, { text: one.batchRootCid, label: 'batch root CID' })],
    ['Piece size, padded', part(Bytes, { value: one.pieceSize })],
    ['CAR', part(Bytes, { value: one.carSize })],
    ['Zeros to the smallest piece', part(Bytes, { value: one.filler })],
    ['Room for uploads', part(Bytes, { value: one.capacity })],
    ['Opened', part(ExactTime, { at: one.opened })],
    ['Sealed', part(ExactTime, { at: one.sealed })],
    ['Bytes released', part(ExactTime, { at: one.released })],
  ] as const;
}
