const TIME = /^(\d{4})-(\d{2})-(\d{2})T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/i;

/** A time of RFC 3339. Undefined for anything else, and for a day that no calendar has. */
export function parseExpiry(text: string): Date | undefined {
  const [, year, month, day] = TIME.exec(text) ?? [];
  // Date takes 31 February for 3 March.
  const daysOfMonth = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  const at = new Date(text);
  return Number(day) <= daysOfMonth && !Number.isNaN(at.getTime()) ? at : undefined;
}
