import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { DealAnswer, UploadAnswer } from '../answers.ts';
import { useSession } from '../data/session.ts';
import { useResource } from '../data/use-resource.ts';
import { shorten } from '../format.ts';
import { PinChip, StateChip } from '../parts/chip.ts';
import { Bytes, Time } from '../parts/figures.ts';
import { History } from '../parts/history.ts';
import { ChainDealLink, ProviderLink } from '../parts/links.ts';
import { Name } from '../parts/names.ts';
import { Page, Panel, Stat, Stats } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty, WithData } from '../parts/states.ts';
import { Table, type Column } from '../parts/table.ts';
import type { PageProps } from '../page-props.ts';
import { ProofLinks } from './proof-links.ts';
import { isSealed, whyNotPinned } from './waiting.ts';
import { WhereItIs } from './where-it-is.ts';

interface PlacementAnswer {
  aggregate: string;
  state: string;
  pieceCid: string | null;
  place: number;
  part: { number: number; of: number } | null;
  offset: number;
  length: number;
  selector: string | null;
  again: boolean;
}

const dealColumns: readonly Column<DealAnswer>[] = [
  { header: 'Provider', cell: ({ miner }) => part(ProviderLink, { id: miner }) },
  { header: 'State', cell: ({ stage }) => part(StateChip, { state: stage }) },
  { header: 'Chain deal', cell: ({ chainDealID }) => part(ChainDealLink, { id: chainDealID }) },
  { header: 'In words', grows: true, cell: ({ statusText }) => html`<span class="soft">${statusText}</span>` },
  { header: 'Changed', align: 'end', minor: true, cell: ({ lastChanged }) => part(Time, { at: lastChanged }) },
  { header: 'Starts', align: 'end', minor: true, cell: ({ dealActivation }) => part(Time, { at: dealActivation }) },
  { header: 'Ends', align: 'end', cell: ({ dealExpiration }) => part(Time, { at: dealExpiration }) },
];

function placementColumns(mayOpen: boolean): readonly Column<PlacementAnswer>[] {
  return [
    {
      header: 'Aggregate',
      cell: ({ aggregate }) =>
        mayOpen ? html`<a href=${`/dashboard/aggregates/${aggregate}`}>${aggregate}</a>` : aggregate,
    },
    { header: 'State', cell: ({ state }) => part(StateChip, { state }) },
    { header: 'Piece CID', cell: ({ pieceCid }) => part(Name, { text: pieceCid, label: 'piece CID' }) },
    {
      header: 'Holds',
      cell: ({ part: cut, again }) => html`<span class="holds">${holds(cut)}${again ? ', again' : ''}</span>`,
    },
    {
      header: 'From byte',
      align: 'end',
      minor: true,
      cell: ({ offset }) => html`<span class="figure">${offset.toLocaleString('en-GB')}</span>`,
    },
    { header: 'Bytes', align: 'end', cell: ({ length }) => part(Bytes, { value: length }) },
    { header: 'Selector', grows: true, cell: ({ selector }) => part(Name, { text: selector, label: 'selector' }) },
  ];
}

function holds(cut: PlacementAnswer['part']): string {
  return cut === null ? 'all of it' : `part ${cut.number} of ${cut.of}`;
}

export function UploadPage({ params }: PageProps): VNode {
  const cid = params['cid'] ?? '';
  const path = `/uploads/${encodeURIComponent(cid)}`;
  const upload = useResource<UploadAnswer>(path, { topics: ['uploads', 'aggregates', 'deals'] });
  return part(
    Page,
    { title: `Upload ${shorten(cid)}`, up: { href: '/dashboard/uploads', text: 'Uploads' } },
    part(WithData<UploadAnswer>, { resource: upload, children: (data) => part(Body, { upload: data, path }) }),
  );
}

function Body({ upload, path }: { upload: UploadAnswer; path: string }): VNode {
  const { cid, pin, deals, owners, state } = upload;
  const active = deals.filter(({ status }) => status === 'active').length;
  return html`${part(
    Stats,
    {},
    part(Stat, {
      label: 'Pin Status',
      value: part(PinChip, { status: pin.status }),
      hint: whyNotPinned(upload) ?? `upload is ${state}`,
    }),
    part(Stat, {
      label: 'Active deals',
      value: String(active),
      hint: `of ${deals.length} shown`,
      ...(active > 0 && { tone: 'good' as const }),
    }),
    part(Stat, {
      label: 'Size',
      value: pin.size === 0 ? '–' : part(Bytes, { value: pin.size }),
      hint: pin.size === 0 ? 'known once all blocks are here' : 'of its blocks',
    }),
    part(Stat, {
      label: 'Received',
      value: part(Time, { at: pin.created }),
      hint: owners.length === 0 ? 'nobody owns it any more' : `from ${owners.join(', ')}`,
    }),
  )}
  ${part(Panel, { title: 'CID', actions: part(ProofLinks, { cid, path, isSealed: deals.length > 0 || isSealed(upload) }) }, part(Name, { text: cid, label: 'CID', whole: true }))}
  ${part(WhereItIs, { upload })}
  ${part(
    Panel,
    { title: 'Storage Providers', flush: true },
    part(Table<DealAnswer>, {
      label: 'Deals of the upload',
      columns: dealColumns,
      rows: deals,
      rowKey: (deal) => `${deal.miner} ${deal.pieceCid} ${deal.chainDealID} ${deal.dealActivation}`,
      empty: part(NoDeals, { state }),
    }),
  )}
  ${part(Placements, { path })}
  ${part(History, { path: `${path}/history`, topics: ['uploads', 'aggregates', 'deals'] })}`;
}

function NoDeals({ state }: Pick<UploadAnswer, 'state'>): VNode {
  if (state === 'failed' || state === 'removed') return part(Empty, { title: `None: the upload is ${state}` });
  return part(
    Empty,
    { title: 'Queuing' },
    'Deals stand here once its aggregate is sealed and proposed to storage providers.',
  );
}

function Placements({ path }: { path: string }): VNode | null {
  const mayOpen = useSession().role !== 'upload';
  const resource = useResource<{ items: PlacementAnswer[] }>(`${path}/placements`, { topics: ['aggregates'] });
  return part(
    Panel,
    { title: 'Aggregates', note: 'Where its bytes lie: each aggregate is one piece of one CAR.', flush: true },
    part(WithData<{ items: PlacementAnswer[] }>, {
      resource,
      children: ({ items }) =>
        part(Table<PlacementAnswer>, {
          label: 'Aggregates of the upload',
          columns: placementColumns(mayOpen),
          rows: items,
          rowKey: ({ aggregate, place }) => `${aggregate}/${place}`,
          empty: part(Empty, { title: 'In no aggregate yet' }),
        }),
    }),
  );
}
