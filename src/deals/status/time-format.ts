const DAY_MS = 86_400_000;
const ERA_DAYS = 146_097;
/** From 1 March of the year 0, where the eras of 400 years begin, to 1970. */
const DAYS_BEFORE_1970 = 719_468;

const two = (value: number) => (value < 10 ? `0${value}` : `${value}`);
const three = (value: number) => (value < 100 ? `0${two(value)}` : `${value}`);

/**
 * ISO 8601 in UTC with `+00:00`, as existing clients of the status API know it: `2022-03-13T04:17:47.969874+00:00`. By
 * hand, as every answer has a dozen of them, and Date takes longer for these than all the rest of the answer does.
 */
export function formatOffsetTime(time: Date, precision: 'seconds' | 'microseconds'): string {
  const ms = time.getTime();
  const days = Math.floor(ms / DAY_MS);
  const day = dayText(days);
  if (day === undefined) return uncommon(time, precision);
  const rest = ms - days * DAY_MS;
  const second = Math.floor(rest / 1_000);
  const minute = Math.floor(second / 60);
  const seconds = `${day}T${two(Math.floor(minute / 60))}:${two(minute % 60)}:${two(second % 60)}`;
  // Our clock counts milliseconds; the last three digits are zeros.
  return precision === 'seconds' ? `${seconds}+00:00` : `${seconds}.${three(rest % 1_000)}000+00:00`;
}

/** The last day that was written at each place: the deals of an aggregate begin and end on few of them. */
const written: { days: number; text: string | undefined }[] = [];
const PLACES = 256;

function dayText(days: number): string | undefined {
  const place = days & (PLACES - 1);
  const known = written[place];
  if (known?.days === days) return known.text;
  const text = formatDay(days);
  written[place] = { days, text };
  return text;
}

/** The Gregorian date of a day counted from 1970; years begin in March, so that the odd day comes last. */
function formatDay(days: number): string | undefined {
  const era = Math.floor((days + DAYS_BEFORE_1970) / ERA_DAYS);
  const ofEra = days + DAYS_BEFORE_1970 - era * ERA_DAYS;
  const leapDays = Math.floor(ofEra / 1_460) - Math.floor(ofEra / 36_524) + Math.floor(ofEra / 146_096);
  const yearOfEra = Math.floor((ofEra - leapDays) / 365);
  const ofYear = ofEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const march = Math.floor((5 * ofYear + 2) / 153);
  const month = march < 10 ? march + 3 : march - 9;
  const year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  if (!(year >= 1_000 && year <= 9_999)) return undefined;
  return `${year}-${two(month)}-${two(ofYear - Math.floor((153 * march + 2) / 5) + 1)}`;
}

/** Years that have other than four digits. Throws a RangeError where there is no time. */
function uncommon(time: Date, precision: 'seconds' | 'microseconds'): string {
  const text = time.toISOString();
  return precision === 'seconds' ? `${text.slice(0, -5)}+00:00` : `${text.slice(0, -1)}000+00:00`;
}
