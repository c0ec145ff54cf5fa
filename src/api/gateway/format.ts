import { LadingError } from '../../errors.ts';

/** What is answered, and of a CAR in which way. */
export type Format =
  | { kind: 'raw' }
  /** `order` undefined: as suits us. */
  | { kind: 'car'; order: 'dfs' | 'unk' | undefined; dups: boolean };

export interface FormatQuery {
  format?: 'raw' | 'car' | undefined;
  'car-order'?: 'dfs' | 'unk' | undefined;
  'car-dups'?: 'y' | 'n' | undefined;
}

interface MediaRange {
  type: string;
  params: ReadonlyMap<string, string>;
  weight: number;
}

export const RAW_TYPE = 'application/vnd.ipld.raw';
export const CAR_TYPE = 'application/vnd.ipld.car';

/**
 * Pure: the format that a request asks for. The query goes before the header, as the specification says. Throws
 * `INVALID_REQUEST` where neither names one, and `NOT_ACCEPTABLE` where what they name cannot be had.
 */
export function formatOf(query: FormatQuery, accept: string | undefined): Format {
  const asked = rangesOf(accept ?? '');
  const { format } = query;
  if (format !== undefined) return format === 'raw' ? { kind: 'raw' } : carOf(query, asked.find(isPossibleCar)?.params);
  const best = asked.find((range) => range.type === RAW_TYPE || isPossibleCar(range));
  if (best !== undefined) return best.type === RAW_TYPE ? { kind: 'raw' } : carOf(query, best.params);
  const how = `ask for ?format=raw or ?format=car, or in Accept for ${RAW_TYPE} or ${CAR_TYPE}; version=1; order=dfs; dups=n`;
  if (asked.every(({ type }) => type === '*/*')) throw new LadingError('INVALID_REQUEST', how);
  throw new LadingError('NOT_ACCEPTABLE', `this gateway answers with what can be verified alone: ${how}`);
}

function carOf(query: FormatQuery, params: ReadonlyMap<string, string> | undefined): Format {
  const order = query['car-order'] ?? params?.get('order');
  const dups = (query['car-dups'] ?? params?.get('dups')) === 'y';
  return { kind: 'car', order: order === 'dfs' || order === 'unk' ? order : undefined, dups };
}

function isPossibleCar({ type, params }: MediaRange): boolean {
  const [version = '1', order = 'unk', dups = 'n'] = ['version', 'order', 'dups'].map((name) => params.get(name));
  return type === CAR_TYPE && version === '1' && ['dfs', 'unk'].includes(order) && ['y', 'n'].includes(dups);
}

/** RFC 9110 section 12.5.1, the most wanted first; what has a weight of zero is not wanted. */
function rangesOf(accept: string): MediaRange[] {
  const ranges = accept.split(',').flatMap((text) => {
    const [type = '', ...rest] = text.split(';').map((part) => part.trim().toLowerCase());
    const params = new Map(rest.map((part) => pairOf(part)));
    const weight = Number(params.get('q') ?? 1);
    return type === '' || !(weight > 0) ? [] : [{ type, params, weight }];
  });
  return ranges.toSorted((a, b) => b.weight - a.weight);
}

function pairOf(param: string): [name: string, value: string] {
  const [name = '', value = ''] = param.split('=');
  return [name.trim(), value.trim().replaceAll('"', '')];
}
