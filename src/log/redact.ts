/** Words that name what nobody but its owner may read, in whatever spelling: `apiToken`, `X-Amz-Security-Token`. */
const SECRET_NAME = '[\\w.-]*(?:token|secret|password|passwd|authorization|cookie|private_?key|api_?key|access_?key)s?';
/** `"token":"…"`, and the same within a text that was JSON already. */
const JSON_FIELD = new RegExp(`"(${SECRET_NAME})":"(?:[^"\\\\]|\\\\.)*"`, 'gi');
const NESTED_FIELD = new RegExp(`\\\\"(${SECRET_NAME})\\\\":\\s*\\\\"(?:(?!\\\\").)*\\\\"`, 'gi');
/** Of URLs: `?token=…`, `X-Amz-Signature=…`. */
const QUERY = new RegExp(`([?&](?:${SECRET_NAME}|[\\w.-]*(?:signature|credential)|sig|key)=)[^&#\\s"\\\\]+`, 'gi');
const USERINFO = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@"\\]+@/gi;
const BEARER = /\b(Bearer|Basic)\s+[\w.~+/=:-]+/gi;
/** Tokens, piece tokens and webhook secrets that are made here, and JSON web tokens of nodes. */
const MADE_HERE =
  /\blading_[\w-]{43}(?![\w-])|\bwhsec_[\w-]{43}(?![\w-])|(?<=\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.)[\w-]{43}(?![\w-])/g;
const JSON_WEB_TOKEN = /\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+/g;

/** Most lines have none of what the others look for, and are done with one look. */
const SUSPICIOUS =
  /token|secret|passw|authorization|cookie|key|signature|credential|bearer|basic|:\/\/|[?&]|whsec_|lading_|eyJ|\.[\w-]{43}/i;

/** A word this short stands in too many lines that are not about it. */
const MIN_SECRET_CHARS = 8;

/**
 * Pure. A function that takes out of a line whatever is secret: the given values wherever they stand, and what has the
 * name or the form of a secret. It works on the finished line, so that no way of logging leads around it.
 */
export function createRedactor(secrets: Iterable<string>): (line: string) => string {
  const known = [...new Set(secrets)]
    .filter((secret) => secret.length >= MIN_SECRET_CHARS)
    // As they are, as JSON has them, also within a text, and as a URL has them; the longest first, as one may hold another.
    .flatMap((secret) => [secret, quoted(secret), quoted(quoted(secret)), encodedForUrl(secret)])
    .toSorted((a, b) => b.length - a.length)
    .map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`));
  const values = known.length === 0 ? undefined : new RegExp(known.join('|'), 'g');
  return (line) => {
    const plain = values === undefined ? line : line.replace(values, '[secret]');
    if (!SUSPICIOUS.test(plain)) return plain;
    return plain
      .replace(JSON_FIELD, '"$1":"[secret]"')
      .replace(NESTED_FIELD, '\\"$1\\":\\"[secret]\\"')
      .replace(QUERY, '$1[secret]')
      .replace(USERINFO, '$1[secret]@')
      .replace(BEARER, '$1 [secret]')
      .replace(MADE_HERE, '[secret]')
      .replace(JSON_WEB_TOKEN, '[secret]');
  };
}

function quoted(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/** Of what is no sound text nobody makes a URL. */
function encodedForUrl(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

const SECRET_VARIABLE = /TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|KEY/;

/**
 * Pure. All that is secret in an environment, by the names of its variables, with each part of a list: also what a later
 * version adds by such a name. And the passwords in URLs, whatever their variable is called.
 */
export function secretsOf(env: Record<string, string | undefined>): string[] {
  return Object.entries(env).flatMap(([name, value = '']) => [
    ...(SECRET_VARIABLE.test(name) ? partsOf(value) : []),
    ...[...value.matchAll(/:\/\/[^\s/@:]*:([^\s/@]+)@/g)].flatMap(([, password = '']) => [password, decoded(password)]),
  ]);
}

/** `name:role:token,name:role:token` is a list of tokens; of others the whole is secret too. */
function partsOf(value: string): string[] {
  const entries = value.split(',').map((entry) => entry.trim());
  return [value, ...entries, ...entries.map((entry) => /^[^:]+:[^:]+:(.+)$/.exec(entry)?.[1] ?? entry)];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Pure. A URL for others than whoever gave it: what stands in its query is often what opens it. */
export function withoutQuery(url: string): string {
  return url.replace(/\?.*$/s, '?…');
}
