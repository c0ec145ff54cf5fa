import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { asProblem, callApi, withQuery, type ApiProblem, type Query } from './call-api.ts';
import { useLive, type Topic } from './live.ts';

export interface Resource<T> {
  /** The last good answer: it stays while a newer one is asked for, and when that fails. */
  data: T | undefined;
  problem: ApiProblem | undefined;
  /** Nothing is known yet. */
  isLoading: boolean;
  reload: () => void;
}

interface Options {
  query?: Query;
  /** Asked again when one of them changes. */
  topics?: readonly Topic[];
}

/** A service that is away, or asked too often, is asked again after this; what it refused, only when asked to. */
const RETRY_MS = 5_000;

function passesByItself({ status }: ApiProblem): boolean {
  return status === 0 || status === 429 || status >= 500;
}

/**
 * Reads a path of the API, and again whenever a topic changes: never two at once, and at most one more when changes come
 * while one is under way. `path` undefined: nothing is read.
 */
export function useResource<T>(path: string | undefined, { query, topics = [] }: Options = {}): Resource<T> {
  const url = path === undefined ? undefined : withQuery(path, query);
  const [state, setState] = useState<{ url: string | undefined; data?: T; problem?: ApiProblem }>({ url });
  const reader = useRef<{ busy: boolean; again: boolean; signal: AbortSignal } | undefined>(undefined);
  const reload = useCallback(() => {
    const current = reader.current;
    if (url === undefined || current === undefined) return;
    if (current.busy) {
      current.again = true;
      return;
    }
    current.busy = true;
    callApi<T>(url, { signal: current.signal })
      .then(
        (data) => current.signal.aborted || setState({ url, data }),
        (error: unknown) =>
          current.signal.aborted ||
          setState((before) => ({ ...(before.url === url ? before : { url }), problem: asProblem(error) })),
      )
      .finally(() => {
        current.busy = false;
        if (!current.again || current.signal.aborted) return;
        current.again = false;
        reload();
      });
  }, [url]);
  useEffect(() => {
    const ending = new AbortController();
    reader.current = { busy: false, again: false, signal: ending.signal };
    reload();
    return () => ending.abort();
  }, [url]);
  useLive(topics, reload);
  const current = state.url === url ? state : { url };
  const { problem } = current;
  useEffect(() => {
    if (problem === undefined || !passesByItself(problem)) return undefined;
    const timer = setTimeout(reload, RETRY_MS);
    return () => clearTimeout(timer);
  }, [problem, reload]);
  const { data } = current;
  return { data, problem, isLoading: data === undefined && problem === undefined && url !== undefined, reload };
}
