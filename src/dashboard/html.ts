import { createHash } from 'node:crypto';
import { importedModules, staticImports, type Assets } from './assets.ts';

export interface Shell {
  html: Buffer;
  /** For the `Content-Security-Policy` header. */
  policy: string;
}

export const ASSETS_PATH = '/dashboard/assets';

/**
 * The page around the app. Names of modules lead to their paths by an import map, which browsers take only when it stands
 * in the page: its hash is the one exception that the policy makes, and nobody else's script has that hash.
 */
export function renderShell(assets: Assets): Shell {
  const at = (path: string): string => `${ASSETS_PATH}/${assets.build}/${path}`;
  const imports = Object.entries(importedModules).map(([name, path]) => [name, at(path)]);
  const map = JSON.stringify({ imports: Object.fromEntries(imports) });
  const preloads = staticImports(assets, 'main.ts').map((path) => `<link rel="modulepreload" href="${at(path)}">`);
  const html = `<!doctype html>
<html lang="en" data-theme="auto">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Lading</title>
<link rel="icon" href="${at('frame/icon.svg')}" type="image/svg+xml">
<script src="${at('frame/early-theme.js')}"></script>
<link rel="stylesheet" href="${at('style.css')}">
<script type="importmap">${map}</script>
${preloads.join('\n')}
<script type="module" src="${at('main.ts')}"></script>
</head>
<body>
<div id="app"></div>
<noscript><p>The dashboard needs JavaScript. Without it, <a href="/docs">the API</a> and the SQL views say the same.</p></noscript>
</body>
</html>
`;
  return { html: Buffer.from(html), policy: policyOf(map) };
}

function policyOf(map: string): string {
  const hash = createHash('sha256').update(map).digest('base64');
  return [
    "default-src 'none'",
    `script-src 'self' 'sha256-${hash}'`,
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');
}
