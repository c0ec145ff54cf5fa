import { useEffect, useState } from 'preact/hooks';

/** What changes; the service tells of each at most once a second (GET /dashboard/live). */
export type Topic = 'uploads' | 'aggregates' | 'deals' | 'providers' | 'chain' | 'policy' | 'jobs' | 'audit' | 'tokens';

type Standing = 'live' | 'connecting' | 'paused';

/** Events: `topic:<name>` for each change, `standing` when the line opens or breaks, `build` when there is a new page. */
const bus = new EventTarget();
let source: EventSource | undefined;
let standing: Standing = 'connecting';
let firstBuild: string | undefined;
let retry: ReturnType<typeof setTimeout> | undefined;

/** An EventSource gives up on an answer that is not 200; a service that restarts is back in seconds. */
const RETRY_MS = 3_000;

function setStanding(now: Standing): void {
  standing = now;
  bus.dispatchEvent(new Event('standing'));
}

function tell(topics: readonly string[]): void {
  for (const topic of topics) bus.dispatchEvent(new Event(`topic:${topic}`));
}

function open(): void {
  clearTimeout(retry);
  source?.close();
  setStanding('connecting');
  const line = new EventSource('/dashboard/live');
  source = line;
  line.addEventListener('hello', ({ data }: MessageEvent<string>) => {
    const { build } = JSON.parse(data) as { build: string };
    firstBuild ??= build;
    if (build !== firstBuild) bus.dispatchEvent(new Event('build'));
    setStanding('live');
    // Whatever happened while nobody listened.
    bus.dispatchEvent(new Event('topic:*'));
  });
  line.addEventListener('change', ({ data }: MessageEvent<string>) =>
    tell((JSON.parse(data) as { topics: string[] }).topics),
  );
  line.addEventListener('error', () => {
    setStanding('connecting');
    if (line.readyState === EventSource.CLOSED) retry = setTimeout(open, RETRY_MS);
  });
}

function close(): void {
  clearTimeout(retry);
  source?.close();
  source = undefined;
  setStanding('paused');
}

/**
 * Opens the line while the page is seen. A hidden tab lets go of it: a browser has six connections for all tabs of one
 * origin, and a seventh tab would wait for ever.
 */
export function keepLive(): () => void {
  const look = (): void => (document.visibilityState === 'visible' ? open() : close());
  look();
  document.addEventListener('visibilitychange', look);
  return () => {
    document.removeEventListener('visibilitychange', look);
    close();
  };
}

/** Calls when one of the topics changes, and after each time that the line was broken. */
export function useLive(topics: readonly Topic[], onChange: () => void): void {
  useEffect(() => {
    const names = ['*', ...topics].map((topic) => `topic:${topic}`);
    for (const name of names) bus.addEventListener(name, onChange);
    return () => {
      for (const name of names) bus.removeEventListener(name, onChange);
    };
  }, [topics.join(), onChange]);
}

export function useLiveStanding(): { standing: Standing; isOutdated: boolean } {
  const [state, setState] = useState({ standing, isOutdated: false });
  useEffect(() => {
    const look = (): void => setState((before) => ({ ...before, standing }));
    const outdated = (): void => setState((before) => ({ ...before, isOutdated: true }));
    look();
    bus.addEventListener('standing', look);
    bus.addEventListener('build', outdated);
    return () => {
      bus.removeEventListener('standing', look);
      bus.removeEventListener('build', outdated);
    };
  }, []);
  return state;
}
