import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire, stripTypeScriptTypes } from 'node:module';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Asset {
  path: string;
  type: string;
  body: Buffer;
}

export interface Assets {
  /** Of everything in it: another page has another. */
  build: string;
  files: ReadonlyMap<string, Asset>;
}

const PAGE_FOLDER = fileURLToPath(new URL('page', import.meta.url));
const SCRIPT = 'text/javascript; charset=utf-8';
/** In this order: later rules go before earlier ones. */
const STYLES = ['theme', 'frame', 'parts', 'operations', 'pipeline'];

/** Modules that the page imports by name, and the path at which each is served. */
export const importedModules: Readonly<Record<string, string>> = {
  preact: 'lib/preact.js',
  'preact/hooks': 'lib/preact-hooks.js',
  htm: 'lib/htm.js',
  'htm/preact': 'lib/htm-preact.js',
  uplot: 'lib/uplot.js',
};

/** Packages name their module for browsers only to bundlers: it lies beside the one that Node is given. */
function readLibraries(): Asset[] {
  const { resolve } = createRequire(import.meta.url);
  const script = (path: string, file: string): Asset => ({ path, type: SCRIPT, body: readFileSync(file) });
  const beside = (name: string, file: string): string => join(dirname(resolve(name)), file);
  return [
    script('lib/preact.js', resolve('preact')),
    script('lib/preact-hooks.js', resolve('preact/hooks')),
    script('lib/htm.js', beside('htm', 'htm.module.js')),
    script('lib/htm-preact.js', beside('htm/preact', 'index.module.js')),
    script('lib/uplot.js', beside('uplot', 'uPlot.esm.js')),
    { path: 'lib/uplot.css', type: '', body: readFileSync(beside('uplot', 'uPlot.min.css')) },
  ];
}

/** Types become blanks: lines and columns stay, so that a fault that the browser tells of points into our source. */
function readPage(): Asset[] {
  const names = readdirSync(PAGE_FOLDER, { recursive: true, encoding: 'utf8' });
  return names
    .map((name) => name.split('\\').join(posix.sep))
    .filter((name) => /\.(ts|js|svg|css)$/.test(name))
    .map((name) => {
      const text = readFileSync(join(PAGE_FOLDER, name), 'utf8');
      if (name.endsWith('.svg')) return { path: name, type: 'image/svg+xml', body: Buffer.from(text) };
      if (name.endsWith('.css')) return { path: name, type: '', body: Buffer.from(text) };
      const script = name.endsWith('.ts') ? stripTypeScriptTypes(text) : text;
      return { path: name, type: SCRIPT, body: Buffer.from(script) };
    });
}

/** One file, so that nothing is drawn before all of it is there. */
function joinStyles(assets: readonly Asset[]): Asset {
  const wanted = ['lib/uplot.css', ...STYLES.map((name) => `style/${name}.css`)];
  const bodies = wanted.flatMap((path) => assets.filter((asset) => asset.path === path).map(({ body }) => body));
  return { path: 'style.css', type: 'text/css; charset=utf-8', body: Buffer.concat(bodies) };
}

let loaded: Assets | undefined;

/** Reads the page once, at the first look at it: 60 files and a tenth of a second. */
export function loadAssets(): Assets {
  return (loaded ??= readAssets());
}

/** That taking out types is an experiment of Node's is known here, and no line for the log of a service. */
function withoutWarning<T>(act: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = () => undefined;
  try {
    return act();
  } finally {
    process.emitWarning = emitWarning;
  }
}

function readAssets(): Assets {
  const parts = [...readLibraries(), ...withoutWarning(readPage)];
  const assets = [...parts.filter(({ type }) => type !== ''), joinStyles(parts)];
  assets.sort((one, other) => (one.path < other.path ? -1 : 1));
  const hash = createHash('sha256');
  for (const { path, body } of assets) hash.update(`${path} ${body.length} `).update(body);
  return { build: hash.digest('base64url').slice(0, 12), files: new Map(assets.map((asset) => [asset.path, asset])) };
}

/** Every module that `entry` needs before it runs, itself first: what `import` statements name, and what those name. */
export function staticImports({ files }: Assets, entry: string): string[] {
  const found = new Set([entry]);
  for (const path of found) {
    const text = files.get(path)?.body.toString() ?? '';
    for (const [, name = ''] of text.matchAll(/^(?:import|export)\b[^;]*?from ?['"]([^'"]+)['"]/gm)) {
      const target = importedModules[name] ?? posix.join(posix.dirname(path), name);
      if (files.has(target)) found.add(target);
    }
  }
  return [...found];
}
