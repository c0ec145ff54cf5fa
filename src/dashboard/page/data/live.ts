import { useEffect, useState } from 'preact/hooks';
import { callApi } from './call-api.ts';

/** What changes; the service tells of each at most once a second (GET /dashboard/live). */
export type Topic = 'uploads' | 'aggregates' | 'deals' | 'providers' | 'chain' | 'policy' | 'jobs' | 'audit' | 'tokens';

type Standing = 'live' | 'connecting' | 'paused';

/** Events: `topic:<name>` for each change, `standing` when the line opens or breaks, `build` when there is a new page. */
const bus = new EventTarget();
let source: EventSource | undefined;
let standing: Standing = 'connecting';
let firstBuild: string | undefined;
let retry: ReturnType<typeof setTimeout> | undefined;
let silence: ReturnType<typeof setTimeout> | undefined;

/** An EventSource gives up on an answer that is not 200; a service that restarts is back in seconds. */
const RETRY_MS = 3_000;
/** The service tells something every five seconds: a line that is silent for longer is dead, and nobody said so. */
const SILENT_MS = 20_000;

function setStanding(now: Standing): void {
  standing = now;
  bus.dispatchEvent(new Event('standing'));
}

function tell(topics: readonly string[]): void {
  for (const topic of topics) bus.dispatchEvent(new Event(`topic:${topic}`));
}

function open(): void {
  clearTimeout(retry);
  clearTimeout(silence);
  source?.close();
  setStanding('connecting');
  const line = new EventSource('/dashboard/live');
  source = line;
  hear();
  line.addEventListener('hello', ({ data }: MessageEvent<string>) => {
    const { build } = JSON.parse(data) as { build: string };
    firstBuild ??= build;
    if (build !== firstBuild) bus.dispatchEvent(new Event('build'));
    hear();
    setStanding('live');
    // Whatever happened while nobody listened.
    bus.dispatchEvent(new Event('topic:*'));
  });
  line.addEventListener('change', ({ data }: MessageEvent<string>) => {
    hear();
    tell((JSON.parse(data) as { topics: string[] }).topics);
  });
  line.addEventListener('error', () => {
    setStanding('connecting');
    if (line.readyState !== EventSource.CLOSED) return;
    retry = setTimeout(open, RETRY_MS);
    lookWhetherOver();
  });
}

function hear(): void {
  clearTimeout(silence);
  silence = setTimeout(open, SILENT_MS);
}

/**
 * A line that is refused does not say why. What every role may read does: where nobody knows us any more, the call tells
 * the frame, and the page does not look as if it waited. Anything else is told by the standing.
 */
function lookWhetherOver(): void {
  callApi('/uploads', { query: { limit: 1 } }).catch(() => undefined);
}

function close(): void {
  clearTimeout(retry);
  clearTimeout(silence);
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
  // The connection may look alive for minutes after the network has gone.
  const lose = (): void => setStanding('connecting');
  look();
  document.addEventListener('visibilitychange', look);
  addEventListener('online', look);
  addEventListener('offline', lose);
  return () => {
    document.removeEventListener('visibilitychange', look);
    removeEventListener('online', look);
    removeEventListener('offline', lose);
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
