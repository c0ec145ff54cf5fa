import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useMayAct } from '../data/session.ts';
import { useResource, type Resource } from '../data/use-resource.ts';
import { Page, Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { WithData } from '../parts/states.ts';
import { PolicyForm } from './policy-form.ts';
import { PolicyHistory } from './policy-history.ts';
import { ProposingButton } from './proposing-button.ts';
import { groupTerms, labelOf, readableTerm, type Terms } from './terms.ts';

export interface PolicyAnswer {
  version: number;
  terms: Terms;
}

/** The policy of deals: what is in force, what was, and how to change it. */
export function PolicyPage(): VNode {
  const policy = useResource<PolicyAnswer>('/policy', { topics: ['policy'] });
  const [isEditing, setEditing] = useState(false);
  const mayAct = useMayAct();
  const { data } = policy;
  return part(
    Page,
    {
      title: 'Policy',
      note: 'The terms on which deals are proposed. Each change is a new version, in force for what is proposed from then on.',
      ...(data !== undefined && {
        actions: part(ProposingButton, { proposing: data.terms['proposing'] !== 'false', done: policy.reload }),
      }),
    },
    data?.terms['proposing'] === 'false' &&
      html`<div class="notice" role="status"><strong>Proposing is paused.</strong> Nothing new is proposed; deals that are under way go on.</div>`,
    part(
      Panel,
      {
        title: data === undefined ? 'In force' : `In force: version ${data.version}`,
        ...(mayAct &&
          !isEditing && {
            actions: html`<button type="button" class="button" onClick=${() => setEditing(true)}>Change terms</button>`,
          }),
      },
      part(WithData<PolicyAnswer>, {
        resource: policy,
        lines: 8,
        children: shownOrForm(isEditing, policy, () => setEditing(false)),
      }),
    ),
    part(PolicyHistory, {}),
  );
}

function shownOrForm(isEditing: boolean, policy: Resource<PolicyAnswer>, close: () => void) {
  const done = (): void => {
    policy.reload();
    close();
  };
  return (data: PolicyAnswer): VNode =>
    isEditing ? part(PolicyForm, { policy: data, done, cancel: close }) : part(TermList, { terms: data.terms });
}

function TermList({ terms }: { terms: Terms }): VNode {
  return html`<div class="terms">
    ${groupTerms(terms).map(
      ({ title, names }) => html`<section key=${title}>
        <h3>${title}</h3>
        <dl>
          ${names.map((name) => {
            const text = terms[name] ?? '';
            return html`<div key=${name}><dt>${labelOf(name)}</dt><dd title="${name}=${text}">${readableTerm(name, text)}</dd></div>`;
          })}
        </dl>
      </section>`,
    )}
  </div>`;
}
