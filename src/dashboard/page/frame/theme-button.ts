import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Icon } from '../parts/icon.ts';
import { part } from '../parts/part.ts';

const THEMES = ['auto', 'light', 'dark'] as const;
type Theme = (typeof THEMES)[number];
const ICONS = { auto: 'auto', light: 'sun', dark: 'moon' } as const;
const WORDS = { auto: 'as the system has it', light: 'light', dark: 'dark' } as const;

/** As style/early-theme.js reads it before anything is drawn. */
const KEY = 'lading-theme';

function kept(): Theme {
  const text = document.documentElement.dataset['theme'];
  return THEMES.find((theme) => theme === text) ?? 'auto';
}

function keep(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // A browser that keeps nothing has it until the page is left.
  }
}

/** Charts are pictures: they are drawn anew. */
function tellCharts(): void {
  dispatchEvent(new Event('theme'));
}

/** Light, dark, or as the system has it; kept in this browser. */
export function ThemeButton(): VNode {
  const [theme, setTheme] = useState(kept);
  useEffect(() => {
    const system = matchMedia('(prefers-color-scheme: dark)');
    system.addEventListener('change', tellCharts);
    return () => system.removeEventListener('change', tellCharts);
  }, []);
  const turn = (): void => {
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'auto';
    document.documentElement.dataset['theme'] = next;
    keep(next);
    setTheme(next);
    tellCharts();
  };
  const label = `Colours: ${WORDS[theme]}`;
  return html`<button type="button" class="icon-button" onClick=${turn} aria-label=${label} title=${label}>
    ${part(Icon, { name: ICONS[theme] })}
  </button>`;
}
