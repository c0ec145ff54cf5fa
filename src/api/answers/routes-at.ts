import type { Server } from './typed-server.ts';

interface FoundRoute {
  method: string;
  isPublic: boolean;
  /** It takes any path below its own. */
  isWild: boolean;
  /** It takes this path alone. */
  isExact: boolean;
}

/**
 * The routes at a path, of those that are declared from now on: for what is answered where no route is called. Where some
 * are of this path alone, those whose names would take it as well are not told of: nothing of theirs has such a name.
 */
export function collectRoutes(server: Server): (path: string) => FoundRoute[] {
  const routes: (FoundRoute & { pattern: RegExp })[] = [];
  server.addHook('onRoute', ({ url, method, config }) => {
    const escaped = url.replace(/\/$/, '').replaceAll('.', '\\.');
    const pattern = new RegExp(`^${escaped.replaceAll(/:\w+/g, '[^/]+').replaceAll('*', '.*')}/?$`);
    const isExact = !/[:*]/.test(url);
    const found = { pattern, isPublic: config?.access === 'public', isWild: url.includes('*'), isExact };
    for (const one of [method].flat()) routes.push({ ...found, method: one });
  });
  return (path) => {
    const found = routes.filter(({ pattern }) => pattern.test(path));
    const exact = found.filter(({ isExact }) => isExact);
    return exact.length > 0 ? exact : found;
  };
}
