import { html, type Html } from './html.ts';
import { asObject, type JsonObject } from '../answers/json-object.ts';

/** Pure: a schema as a reader of types knows it: `{ cid: string, deals: Deal[] }`, over as many lines as it needs. */
export function typeText(schema: JsonObject, indent = ''): Html {
  const { $ref, type, anyOf, allOf, properties, items, patternProperties } = schema;
  if (typeof $ref === 'string') return reference($ref);
  if ('const' in schema) return html`${JSON.stringify(schema['const'])}`;
  if (Array.isArray(schema['enum'])) return html`${schema['enum'].map((one) => JSON.stringify(one)).join(' | ')}`;
  if (Array.isArray(anyOf))
    return joined(
      anyOf.map((one) => typeText(asObject(one), indent)),
      ' | ',
    );
  if (Array.isArray(allOf))
    return joined(
      allOf.map((one) => typeText(asObject(one), indent)),
      ' & ',
    );
  if (items !== undefined) return arrayText(typeText(asObject(items), indent));
  if (patternProperties !== undefined) {
    const [of] = Object.values(asObject(patternProperties));
    return html`{ [name]: ${typeText(asObject(of), indent)} }`;
  }
  if (properties !== undefined) return objectText(schema, indent);
  return html`${typeof type === 'string' ? type : 'any'}`;
}

function reference(path: string): Html {
  const name = path.slice(path.lastIndexOf('/') + 1);
  return html`<a href="#schema-${name}">${name}</a>`;
}

function arrayText(item: Html): Html {
  return item.text.includes(' | ') && !item.text.startsWith('{') ? html`(${item})[]` : html`${item}[]`;
}

function joined(parts: readonly Html[], by: string): Html {
  return html`${parts.map((part, at) => (at === 0 ? part : html`${by}${part}`))}`;
}

function objectText(schema: JsonObject, indent: string): Html {
  const required = Array.isArray(schema['required']) ? schema['required'] : [];
  const inner = `${indent}  `;
  const lines = Object.entries(asObject(schema['properties'])).map(([name, given]) => {
    const property = asObject(given);
    const mark = required.includes(name) ? '' : '?';
    const { description } = property;
    const note = typeof description === 'string' ? html` <i>// ${description}</i>` : undefined;
    return html`${inner}${name}${mark}: ${typeText(property, inner)}${note}
`;
  });
  return lines.length === 0
    ? html`{}`
    : html`{
${lines}${indent}}`;
}
