import { html } from 'htm/preact';
import type { ComponentChildren, VNode } from 'preact';
import type { HistoryAnswer } from '../answers.ts';
import { useSession } from '../data/session.ts';
import { useList } from '../data/use-list.ts';
import type { Topic } from '../data/live.ts';
import { messagePage, tipsetPage } from '../explorer.ts';
import { plainWords } from '../format.ts';
import { toneOf } from './chip.ts';
import { OutLink } from './names.ts';
import { Panel } from './page.ts';
import { part } from './part.ts';
import { Empty, Loading, Problem } from './states.ts';
import { Pager } from './table.ts';
import { Timeline, type Happening } from './timeline.ts';

interface HistoryProps {
  /** Of the API: `/deals/{id}/history`. */
  path: string;
  topics: readonly Topic[];
  /** All of it happened to what the page is about: it needs no name. */
  isOfOne?: boolean;
}

/** Of a cut upload with many deals there are thousands. */
const PAGE_SIZE = 100;

/** All that happened to an upload or a deal, with what was seen; live, page by page. */
export function History({ path, topics, isOfOne = false }: HistoryProps): VNode {
  const { network, role } = useSession();
  const list = useList<HistoryAnswer>(path, { topics, pageSize: PAGE_SIZE });
  const { data, problem, items, reload } = list;
  const happenings = items.map((event, at) =>
    happeningOf(event, { key: String(at), network, mayOpen: role !== 'upload', isOfOne }),
  );
  return part(
    Panel,
    { title: 'Timeline', note: 'When we saw it, the oldest first, each with the evidence.' },
    problem && part(Problem, { problem, retry: reload }),
    data === undefined && problem === undefined && part(Loading, {}),
    data !== undefined && items.length === 0 && part(Empty, { title: 'Nothing happened yet' }),
    items.length > 0 && part(Timeline, { label: 'Timeline', happenings }),
    part(Pager, { list }),
  );
}

interface Shown {
  key: string;
  network: string;
  mayOpen: boolean;
  isOfOne: boolean;
}

function happeningOf(event: HistoryAnswer, { key, network, mayOpen, isOfOne }: Shown): Happening {
  const { seen, subject, id, from, to, reasonCode, detail, epoch, messageCid, node, evidence } = event;
  const change = from === null || from === to ? plainWords(to) : `${plainWords(from)} → ${plainWords(to)}`;
  const name = id === null ? '' : subject === 'deal' ? ` ${id.slice(0, 8)}` : ` ${id}`;
  const who = `${subject}${name}`;
  const href = subject === 'upload' || !mayOpen ? undefined : `/dashboard/${subject}s/${id}`;
  const said: ComponentChildren[] = [
    detail,
    detail === null && reasonCode !== null && plainWords(reasonCode),
    epoch !== null && html` at epoch ${part(OutLink, { href: tipsetPage(network, epoch) }, String(epoch))}`,
    messageCid !== null && html`, ${part(OutLink, { href: messagePage(network, messageCid) }, 'message')}`,
    node !== null && html`, seen by ${node}`,
  ];
  const hasText = [detail, reasonCode, epoch, messageCid, node].some((one) => one !== null);
  return {
    key,
    at: seen,
    tone: toneOf(to),
    title: isOfOne ? change : html`${href === undefined ? who : html`<a href=${href}>${who}</a>`}: ${change}`,
    ...(hasText && { text: html`${said}` }),
    evidence,
  };
}
