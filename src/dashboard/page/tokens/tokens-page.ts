import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { callApi } from '../data/call-api.ts';
import { useMayAct } from '../data/session.ts';
import { useList } from '../data/use-list.ts';
import { StateChip } from '../parts/chip.ts';
import { ActionButton } from '../parts/dialog.ts';
import { Nothing, Time } from '../parts/figures.ts';
import { Page, Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty } from '../parts/states.ts';
import { ListTable, type Column } from '../parts/table.ts';
import { CreateToken } from './create-token.ts';

interface Token {
  id: string | null;
  name: string;
  role: 'upload' | 'ops' | 'read';
  source: 'database' | 'configuration';
  state: 'active' | 'expired' | 'revoked' | 'shadowed';
  created: string | null;
  createdBy: string | null;
  expires: string | null;
  lastUsed: string | null;
  revoked: string | null;
  revokedBy: string | null;
}

const head = {
  title: 'Tokens',
  note: 'Who may call: upload sends and checks, read reads all, ops reads and changes all.',
};

/** Tokens of the configuration and of the database: made and revoked. */
export function TokensPage(): VNode {
  if (useMayAct()) return part(TokenList, {});
  return part(
    Page,
    head,
    part(Panel, {}, part(Empty, { title: 'For operators' }, 'Log in with a token of role ops to see who may call.')),
  );
}

function TokenList(): VNode {
  const [isMaking, setMaking] = useState(false);
  const list = useList<Token>('/tokens', { topics: ['tokens'] });
  const columns: readonly Column<Token>[] = [
    { header: 'Name', grows: true, cell: ({ name }) => html`<strong>${name}</strong>` },
    { header: 'Role', cell: ({ role }) => role },
    {
      header: 'State',
      cell: ({ state }) => part(StateChip, { state, ...(state === 'shadowed' && { title: SHADOWED }) }),
    },
    { header: 'Made', cell: madeBy },
    {
      header: 'Last used',
      cell: ({ lastUsed, source }) =>
        source === 'configuration'
          ? part(Nothing, { why: 'not kept for the configuration' })
          : part(Time, { at: lastUsed }),
    },
    {
      header: 'Expires',
      cell: ({ expires }) => (expires === null ? part(Nothing, { why: 'never' }) : part(Time, { at: expires })),
    },
    { header: '', align: 'end', cell: (token) => revokeButton(token, list.reload) },
  ];
  return part(
    Page,
    {
      ...head,
      actions: html`<button type="button" class="button button-main" onClick=${() => setMaking(true)}>Make a token</button>`,
    },
    part(
      Panel,
      { flush: true },
      part(ListTable<Token>, { label: 'Tokens', list, columns, rowKey: ({ id, name }) => id ?? `configured ${name}` }),
    ),
    isMaking && part(CreateToken, { done: list.reload, close: () => setMaking(false) }),
  );
}

const SHADOWED = 'a token of the configuration has this name, so this one opens nothing';

function madeBy({ source, created, createdBy, revoked, revokedBy }: Token): VNode {
  if (source === 'configuration') return html`<span class="soft">configuration</span>`;
  if (revoked !== null)
    return html`<span class="one-line">revoked ${part(Time, { at: revoked })} <span class="soft">by ${revokedBy}</span></span>`;
  return html`<span class="one-line">${part(Time, { at: created })} <span class="soft">by ${createdBy}</span></span>`;
}

function revokeButton({ id, name, state }: Token, done: () => void): VNode | string {
  if (id === null || state === 'revoked') return '';
  return part(ActionButton, {
    label: 'Revoke',
    title: `Revoke the token ${name}?`,
    text: 'For good: it opens nothing any more, sessions that began with it end, and its webhooks stop. What it uploaded stays.',
    verb: 'Revoke',
    isDangerous: true,
    done: `The token ${name} is revoked.`,
    act: async (reason) => {
      await callApi(`/tokens/${id}`, { method: 'DELETE', query: { reason } });
      done();
    },
  });
}
