import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { DealAnswer, UploadAnswer } from '../answers.ts';
import { useSession } from '../data/session.ts';
import { useList } from '../data/use-list.ts';
import { PinChip, StateChip } from '../parts/chip.ts';
import { Bytes, Time } from '../parts/figures.ts';
import { Filters, SelectFilter, TextFilter } from '../parts/filters.ts';
import { DealProvider } from '../parts/links.ts';
import { Icon } from '../parts/icon.ts';
import { Name } from '../parts/names.ts';
import { Page, Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty } from '../parts/states.ts';
import { ListTable, type Column } from '../parts/table.ts';
import type { PageProps } from '../page-props.ts';
import { FindUpload } from './find-upload.ts';
import { UploadBox } from './upload-box.ts';
import { storageWord, whyItWaits, whyNotPinned } from './waiting.ts';

const STATES = [
  ['', 'All'],
  ['incomplete', 'Incomplete'],
  ['waiting', 'Waiting for an aggregate'],
  ['stowed', 'In an aggregate'],
  ['failed', 'Failed'],
  ['removed', 'Removed'],
] as const;

/** Deals of one state that a row names; the upload's own page has them all. */
const SHOWN_DEALS = 4;

const columns: readonly Column<UploadAnswer>[] = [
  { header: 'CID', cell: ({ cid }) => part(Name, { text: cid, label: 'CID', href: `/dashboard/uploads/${cid}` }) },
  {
    header: 'Size',
    align: 'end',
    cell: ({ pin, state }) => part(Bytes, { value: state === 'incomplete' ? null : pin.size }),
  },
  { header: 'Pin Status', cell: (upload) => part(PinLink, { upload }) },
  { header: 'Storage Providers', grows: true, cell: (upload) => part(StorageProviders, { upload }) },
  {
    header: 'Owner',
    minor: true,
    cell: ({ owners }) => owners.join(', ') || html`<span class="nothing">nobody</span>`,
  },
  { header: 'Received', align: 'end', cell: ({ pin }) => part(Time, { at: pin.created }) },
];

/** Leads to the page that says why, where it is not pinned. */
function PinLink({ upload }: { upload: UploadAnswer }): VNode {
  const { cid, pin } = upload;
  const why = whyNotPinned(upload);
  const chip = part(PinChip, { status: pin.status, ...(why !== undefined && { title: why }) });
  return why === undefined ? chip : html`<a class="chip-link" href=${`/dashboard/uploads/${cid}`}>${chip}</a>`;
}

/** As the file listing of nft.storage: Queuing until deals are proposed, then each provider, linked once it is on chain. */
function StorageProviders({ upload }: { upload: UploadAnswer }): VNode {
  const { deals, queueing } = upload;
  const why = queueing && whyItWaits(queueing.reason);
  const word = storageWord(upload);
  if (deals.length === 0) {
    return html`<span class="providers-of">${part(PinChip, { status: word })}
      ${why && html`<span class="soft">${why.title}</span>`}</span>`;
  }
  const groups = Map.groupBy(deals, ({ status }) => WORDS[status]);
  return html`<span class="providers-of">
    ${Object.values(WORDS).map((group) => {
      const some = groups.get(group);
      return some === undefined ? null : part(DealGroup, { key: group, word: group, deals: some, cid: upload.cid });
    })}
    ${why && html`<span class="soft">${why.title}</span>`}
  </span>`;
}

/** In the words of nft.storage; what counts now stands first. */
const WORDS = { active: 'active', queued: 'pending', terminated: 'terminated' } as const;

function DealGroup({ word, deals, cid }: { word: string; deals: readonly DealAnswer[]; cid: string }): VNode {
  const more = deals.length - SHOWN_DEALS;
  return html`<span class="provider-of">${part(StateChip, { state: word })}
    ${deals.slice(0, SHOWN_DEALS).map((deal) => part(DealProvider, { key: deal.miner + deal.pieceCid + deal.lastChanged, deal }))}
    ${more > 0 && html`<a href=${`/dashboard/uploads/${cid}`}>and ${more} more</a>`}
  </span>`;
}

export function UploadsPage({ query }: PageProps): VNode {
  const { role } = useSession();
  const filter = { state: query.get('state') ?? undefined, owner: query.get('owner') ?? undefined, count: true };
  const [isOpen, setOpen] = useState(role === 'upload');
  const list = useList<UploadAnswer>('/uploads', { query: filter, topics: ['uploads', 'deals'] });
  const isFiltered = filter.state !== undefined || filter.owner !== undefined;
  return part(
    Page,
    {
      title: 'Uploads',
      note: 'What was sent, whether it is pinned, and which storage providers keep it.',
      actions: html`<button type="button" class="button button-main" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>
        ${part(Icon, { name: 'uploads' })}Upload
      </button>`,
    },
    isOpen && part(UploadBox, {}),
    part(
      Filters,
      {},
      part(FindUpload, {}),
      part(SelectFilter, { label: 'State', name: 'state', value: filter.state, choices: STATES }),
      role === 'upload'
        ? null
        : part(TextFilter, { label: 'Owner', name: 'owner', value: filter.owner, placeholder: 'name of a token' }),
    ),
    part(
      Panel,
      { flush: true },
      part(ListTable<UploadAnswer>, {
        label: 'Uploads',
        list,
        columns: role === 'upload' ? columns.filter(({ header }) => header !== 'Owner') : columns,
        rowKey: ({ cid }) => cid,
        empty: isFiltered
          ? part(Empty, { title: 'No upload is like this' }, 'Change or clear the filters.')
          : part(Empty, { title: 'Nothing was uploaded yet' }, 'Drop a file above, or send one with POST /upload.'),
      }),
    ),
  );
}
