import { useState } from 'preact/hooks';
import { withQuery, type Query } from './call-api.ts';
import type { Topic } from './live.ts';
import { useResource, type Resource } from './use-resource.ts';

/** As every list of the API answers. */
export interface ListAnswer<T> {
  items: T[];
  next: string | null;
  count?: { value: number; exact: boolean };
}

export interface PagedList<T> extends Resource<ListAnswer<T>> {
  items: readonly T[];
  /** Counted from 1. */
  page: number;
  pageSize: number;
  hasNext: boolean;
  forward: () => void;
  back: () => void;
}

interface Options {
  query?: Query;
  topics?: readonly Topic[];
  pageSize?: number;
}

/** Few enough that a page is drawn in one frame, enough to look through. */
const PAGE_SIZE = 50;

/** A list of the API page by page, live where topics are given. A change of the query begins anew. */
export function useList<T>(path: string, { query, topics, pageSize = PAGE_SIZE }: Options = {}): PagedList<T> {
  const base = withQuery(path, query);
  const [walk, setWalk] = useState<{ base: string; cursors: string[] }>({ base, cursors: [] });
  const cursors = walk.base === base ? walk.cursors : [];
  const resource = useResource<ListAnswer<T>>(path, {
    query: { ...query, limit: pageSize, cursor: cursors.at(-1) },
    ...(topics !== undefined && { topics }),
  });
  const next = resource.data?.next ?? null;
  return {
    ...resource,
    items: resource.data?.items ?? [],
    page: cursors.length + 1,
    pageSize,
    hasNext: next !== null,
    forward: () => next !== null && setWalk({ base, cursors: [...cursors, next] }),
    back: () => setWalk({ base, cursors: cursors.slice(0, -1) }),
  };
}
