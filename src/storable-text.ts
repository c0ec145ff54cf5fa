/** A provider's words are kept, but not a novel. */
const MAX_TEXT_CHARS = 2_000;

/** PostgreSQL takes no NUL in text, and a terminal takes no control characters well. */
export function storableText(text: string): string {
  return text
    .replaceAll(/\p{Cc}/gu, ' ')
    .slice(0, MAX_TEXT_CHARS)
    .toWellFormed();
}
