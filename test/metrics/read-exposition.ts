/** A reader of Prometheus's text format of its own, so that the writer is not its own judge. */
export interface Family {
  type: string;
  help: string;
  samples: { name: string; labels: Record<string, string>; value: number }[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;
const SUFFIXES = /_(bucket|sum|count)$/;

function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  for (let at = 0; at < text.length; at = LABEL.lastIndex) {
    LABEL.lastIndex = at;
    const [, name, value] = LABEL.exec(text) ?? [];
    if (name === undefined || value === undefined) throw new Error(`labels {${text}}`);
    if (name in labels) throw new Error(`label ${name} twice`);
    labels[name] = value.replaceAll(/\\(.)/g, (_all, char: string) => (char === 'n' ? '\n' : char));
  }
  return labels;
}

function readValue(text: string): number {
  if (text === '+Inf' || text === '-Inf') return text === '+Inf' ? Infinity : -Infinity;
  const value = Number(text);
  if (text === '' || (Number.isNaN(value) && text !== 'NaN')) throw new Error(`the value '${text}'`);
  return value;
}

function readSample(line: string) {
  const [, name = '', labels = '', value = ''] =
    new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`).exec(line) ?? fail(`the line '${line}'`);
  return { name, labels: readLabels(labels), value: readValue(value) };
}

function fail(message: string): never {
  throw new Error(message);
}

/** Throws where a line is not of the format, a sample comes without its type, a family twice or a series twice. */
export function readExposition(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) fail('the last line has no end');
  const families = new Map<string, Family>();
  const series = new Set<string>();
  let help: { name: string; text: string } | undefined;
  let current: { name: string; family: Family } | undefined;
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [, word, name = '', rest = ''] = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`).exec(line) ?? [];
    if (word === 'HELP') help = { name, text: rest };
    else if (word === 'TYPE') {
      if (help?.name !== name || families.has(name)) fail(`${name} has no help, or stands twice`);
      if (!['counter', 'gauge', 'histogram', 'summary'].includes(rest)) fail(`the type ${rest}`);
      current = { name, family: { type: rest, help: help.text, samples: [] } };
      families.set(name, current.family);
    } else {
      const sample = readSample(line);
      const isComposed = current?.family.type === 'histogram' || current?.family.type === 'summary';
      const own = isComposed ? sample.name.replace(SUFFIXES, '') : sample.name;
      if (own !== current?.name) fail(`${sample.name} outside its family`);
      const key = `${sample.name} ${Object.entries(sample.labels)
        .map(([label, value]) => `${label}=${value}`)
        .toSorted()
        .join()}`;
      if (series.has(key)) fail(`${key} stands twice`);
      series.add(key);
      current.family.samples.push(sample);
    }
  }
  return families;
}

/** The value of the one series that has these labels. */
export function valueOf(families: Map<string, Family>, name: string, labels: Record<string, string> = {}) {
  const family = families.get(name) ?? families.get(name.replace(SUFFIXES, ''));
  const found = family?.samples.filter(
    (one) => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value),
  );
  return found?.length === 1 ? found[0]?.value : undefined;
}
