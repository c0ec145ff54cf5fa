import { createHash } from 'node:crypto';
import { errorCodes } from '../answers/error-codes.ts';
import { html, Html, prose } from './html.ts';
import { asObject } from '../answers/json-object.ts';
import type { OpenApiDocument, Operation, Parameter } from './document.ts';
import { PAGE_STYLE } from './page-style.ts';
import type { Media, Response } from './responses.ts';
import { typeText } from './type-text.ts';

const styleHash = createHash('sha256').update(PAGE_STYLE).digest('base64');

/** The page has its style inside and nothing else: no script, no picture, no request to anywhere. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

interface Entry {
  method: string;
  path: string;
  operation: Operation;
}

/** Pure: the document as a page that needs nothing but itself. */
export function pageOf(document: OpenApiDocument): string {
  const { info, components } = document;
  const groups = groupsOf(document);
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${info.title} API</title>
<style>${new Html(PAGE_STYLE)}</style>
</head>
<body>
<nav aria-label="Contents">
<a class="home" href="#top">${info.title} <small>${info.version}</small></a>
${groups.map(menuOf)}
<h2>More</h2>
<ul><li><a href="#errors">Errors</a></li><li><a href="#schemas">Schemas</a></li><li><a href="/docs/json">OpenAPI 3.1 document</a></li></ul>
</nav>
<main id="top">
<h1>${info.title} API</h1>
${info.description.split('\n\n').map((text) => html`<p>${prose(text)}</p>`)}
${groups.map(sectionOf)}
<section><h2 id="errors">Errors</h2>
<p>${prose('Every code that a problem may have, with its HTTP status. `type` of a problem leads here.')}</p>
${errorTable()}</section>
<section><h2 id="schemas">Schemas</h2>
${Object.entries(components.schemas).map(
  ([name, schema]) => html`<h3 id="schema-${name}">${name}</h3><pre>${typeText(asObject(schema))}</pre>`,
)}</section>
</main>
</body>
</html>
`;
  return page.text;
}

interface Group {
  name: string;
  description: string;
  entries: readonly Entry[];
}

function groupsOf({ tags, paths }: OpenApiDocument): Group[] {
  const entries = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
  const groups = tags.map((tag) => ({
    ...tag,
    entries: entries.filter(({ operation }) => operation.tags[0] === tag.name),
  }));
  return groups.filter((group) => group.entries.length > 0);
}

function menuOf({ name, entries }: Group): Html {
  const items = entries.map(
    ({ method, path, operation }) =>
      html`<li><a href="#${operation.operationId}"><b class="${method}">${method}</b> ${path}</a></li>`,
  );
  return html`<h2><a href="#tag-${name}">${name}</a></h2><ul>${items}</ul>`;
}

function sectionOf({ name, description, entries }: Group): Html {
  return html`<section><h2 id="tag-${name}">${name}</h2><p>${description}</p>${entries.map(articleOf)}</section>`;
}

function articleOf({ method, path, operation }: Entry): Html {
  const { operationId, summary, description, parameters, requestBody, responses } = operation;
  const roles = operation['x-roles'].join(', ');
  const bodies = Object.entries(requestBody?.content ?? {});
  return html`<article id="${operationId}">
<h3><b class="${method}">${method}</b> <code>${path}</code> <a class="anchor" href="#${operationId}" aria-label="Link">#</a></h3>
<p><strong>${summary}</strong> <span class="roles">${roles}</span></p>
<p>${prose(description)}</p>
${parameters.length === 0 ? undefined : parameterTable(parameters)}
${bodies.length === 0 ? undefined : html`<h4>Body${requestBody?.required === true ? '' : ' (may be left out)'}</h4>${bodies.map(mediaOf)}`}
<h4>Answers</h4>
${Object.entries(responses).map(responseOf)}
</article>`;
}

function parameterTable(parameters: readonly Parameter[]): Html {
  const rows = parameters.map(
    ({ name, in: place, required, schema, description, example }) =>
      html`<tr><td><code>${name}</code>${required ? undefined : html` <small>optional</small>`}</td><td>${place}</td><td>${typeText(schema)}</td><td>${prose(description ?? '')} <small>such as <code>${String(example)}</code></small></td></tr>`,
  );
  return html`<table><thead><tr><th>Parameter</th><th>in</th><th>type</th><th></th></tr></thead><tbody>${rows}</tbody></table>`;
}

function responseOf([status, { description, content }]: [string, Response]): Html {
  const isGood = Number(status) < 400;
  const body = Object.entries(content ?? {}).map(mediaOf);
  return html`<details class="${isGood ? 'good' : 'bad'}"><summary><b>${status}</b> ${prose(description)}</summary>${body}</details>`;
}

function mediaOf([type, { schema, example, examples }]: [string, Media]): Html {
  const shown = example ?? Object.values(examples ?? {})[0]?.value;
  return html`<p><code>${type}</code></p>
${schema === undefined ? undefined : html`<pre>${typeText(schema)}</pre>`}
${shown === undefined ? undefined : html`<pre class="example">${JSON.stringify(shown, null, 2)}</pre>`}`;
}

function errorTable(): Html {
  const rows = Object.entries(errorCodes).map(
    ([code, [status, meaning]]) =>
      html`<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${meaning}</td></tr>`,
  );
  return html`<table><thead><tr><th>Code</th><th>Status</th><th>Meaning</th></tr></thead><tbody>${rows}</tbody></table>`;
}
