import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useResource } from '../data/use-resource.ts';
import { formatCount, plainWords } from '../format.ts';
import { Chip, type Tone } from '../parts/chip.ts';
import { Count, ExactTime, Nothing, Time } from '../parts/figures.ts';
import { Name } from '../parts/names.ts';
import { Page, Panel, Stat, Stats } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty, WithData } from '../parts/states.ts';
import { Table, type Column } from '../parts/table.ts';

interface Endpoint {
  host: string;
  state: 'unknown' | 'well' | 'resting';
  standing: string;
  since: string | null;
  lastFault: string | null;
  latencyMs: number | null;
  height: number | null;
  lagEpochs: number | null;
}

interface Difference {
  dealId: string;
  kind: string;
  detail: string;
  epoch: number;
  found: string;
}

interface ChainAnswer {
  network: string;
  genesis: string | null;
  asOf: string | null;
  epoch: number | null;
  finalizedEpoch: number | null;
  lookedAt: string | null;
  degradedSince: string | null;
  degradedReason: string | null;
  limited: string | null;
  endpoints: Endpoint[];
  openDifferences: number;
  differences: Difference[];
}

/** How well the chain is seen: head, finality, endpoints, and where it differs from what we know. */
export function ChainPage(): VNode {
  const chain = useResource<ChainAnswer>('/chain', { topics: ['chain', 'jobs'] });
  const network = chain.data?.network;
  return part(
    Page,
    { title: 'Chain', ...(network !== undefined && { note: `Filecoin ${network}` }) },
    part(WithData<ChainAnswer>, { resource: chain, children: shown }),
  );
}

function shown(chain: ChainAnswer): VNode {
  const { degradedReason, degradedSince, limited, endpoints, differences, openDifferences } = chain;
  return html`
    ${
      degradedReason !== null &&
      html`<div class="notice notice-bad" role="status"><strong>The chain cannot be read or believed</strong>
        since ${part(Time, { at: degradedSince })}: ${degradedReason}</div>`
    }
    ${limited !== null && html`<div class="notice" role="status">${limited}</div>`}
    ${part(Sight, { chain })}
    ${part(
      Panel,
      { title: 'Endpoints', note: 'As this process fares with them, in the order of preference', flush: true },
      part(Table<Endpoint>, {
        label: 'Endpoints',
        columns: endpointColumns,
        rows: endpoints,
        rowKey: ({ host }) => host,
        empty: part(
          Empty,
          { title: 'No endpoint is configured' },
          'Set CHAIN_RPC_URL, or nothing is proposed and no deal is watched.',
        ),
      }),
    )}
    ${part(
      Panel,
      {
        title: 'Differences',
        note: 'Deals that the chain has otherwise than we know, found by the daily comparison',
        flush: true,
      },
      part(Table<Difference>, {
        label: 'Differences',
        columns: differenceColumns,
        rows: differences,
        rowKey: ({ dealId, kind, found }) => dealId + kind + found,
        empty: part(Empty, { title: 'The chain and we agree' }, 'Once a day every live deal is read and compared.'),
      }),
      openDifferences > differences.length &&
        html`<p class="more">and ${formatCount(openDifferences - differences.length)} more</p>`,
    )}
  `;
}

function Sight({ chain }: { chain: ChainAnswer }): VNode {
  const { epoch, finalizedEpoch, asOf, lookedAt, genesis, degradedReason } = chain;
  const unread = part(Nothing, { why: 'not read yet' });
  const behind =
    epoch === null || finalizedEpoch === null
      ? undefined
      : `${formatCount(epoch - finalizedEpoch)} epochs below the head`;
  return part(Stats, {}, [
    part(Stat, {
      label: 'Head',
      value: epoch === null ? unread : part(Count, { value: epoch }),
      hint: html`read ${part(Time, { at: asOf })}`,
    }),
    part(Stat, {
      label: 'Final',
      value: finalizedEpoch === null ? unread : part(Count, { value: finalizedEpoch }),
      hint: behind ?? 'what is below is never taken back',
    }),
    part(Stat, {
      label: 'Standing',
      value: degradedReason === null ? (epoch === null ? 'unknown' : 'well') : 'degraded',
      tone: degradedReason !== null ? 'bad' : 'good',
      hint: html`looked ${part(Time, { at: lookedAt })}`,
    }),
    part(Stat, {
      label: 'Genesis',
      value: genesis === null ? unread : html`<span class="stat-small">${part(ExactTime, { at: genesis })}</span>`,
      hint: 'epochs are counted from it',
    }),
  ]);
}

const STATE_TONES: Readonly<Record<Endpoint['state'], Tone>> = { well: 'good', resting: 'wait', unknown: 'plain' };
const STANDING_TONES: Readonly<Record<string, Tone>> = { agrees: 'good' };

/** Heads are compared where there are several. */
function standingOf({ standing }: Endpoint): VNode {
  if (standing === 'unknown') return part(Nothing, { why: 'not compared' });
  return part(Chip, { tone: STANDING_TONES[standing] ?? 'bad' }, standing);
}

const endpointColumns: readonly Column<Endpoint>[] = [
  { header: 'Endpoint', grows: true, cell: ({ host }) => html`<code>${host}</code>` },
  { header: 'State', cell: ({ state }) => part(Chip, { tone: STATE_TONES[state] }, state) },
  { header: 'Head', cell: standingOf },
  { header: 'Since', minor: true, cell: ({ since }) => part(Time, { at: since }) },
  { header: 'Epoch', align: 'end', cell: ({ height }) => part(Count, { value: height }) },
  { header: 'Behind', align: 'end', cell: ({ lagEpochs }) => part(Count, { value: lagEpochs }) },
  {
    header: 'Latency',
    align: 'end',
    cell: ({ latencyMs }) =>
      latencyMs === null ? part(Nothing, {}) : html`<span class="figure">${Math.round(latencyMs)} ms</span>`,
  },
  {
    header: 'Last fault',
    minor: true,
    cell: ({ lastFault }) => (lastFault === null ? part(Nothing, {}) : html`<code>${lastFault}</code>`),
  },
];

const differenceColumns: readonly Column<Difference>[] = [
  {
    header: 'Deal',
    cell: ({ dealId }) => part(Name, { text: dealId, label: 'deal id', href: `/dashboard/deals/${dealId}` }),
  },
  { header: 'Kind', cell: ({ kind }) => part(Chip, { tone: 'bad' }, plainWords(kind)) },
  { header: 'What', grows: true, cell: ({ detail }) => detail },
  { header: 'Epoch', align: 'end', minor: true, cell: ({ epoch }) => part(Count, { value: epoch }) },
  { header: 'Found', cell: ({ found }) => part(Time, { at: found }) },
];
