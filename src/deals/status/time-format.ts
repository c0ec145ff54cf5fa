/** ISO 8601 in UTC with `+00:00`, as existing clients of the status API know it: `2022-03-13T04:17:47.969874+00:00`. */
export function formatOffsetTime(time: Date, precision: 'seconds' | 'microseconds'): string {
  const [seconds = '', fraction = '000Z'] = time.toISOString().split('.');
  // Our clock counts milliseconds; the last three digits are zeros.
  return precision === 'seconds' ? `${seconds}+00:00` : `${seconds}.${fraction.slice(0, 3)}000+00:00`;
}
