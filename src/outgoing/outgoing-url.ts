import { BadInput } from '../errors.ts';

const MAX_URL_CHARS = 2_000;

/** Throws `URL_REFUSED` unless it is an http or https URL without a name and password in it; without its fragment. */
export function readUrl(given: string | URL): URL {
  const text = String(given);
  if (text.length > MAX_URL_CHARS) throw refused(`it is longer than ${MAX_URL_CHARS} characters`);
  if (!URL.canParse(text)) throw refused('it is not a URL such as https://example.com/some.car');
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refused('it must begin with https:// or http://');
  if (url.username !== '' || url.password !== '') throw refused('it must not hold a name and a password');
  url.hash = '';
  return url;
}

function refused(why: string): BadInput {
  return new BadInput('URL_REFUSED', `url: ${why}`);
}
