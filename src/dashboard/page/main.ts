import { render } from 'preact';
import { App } from './app.ts';
import { part } from './parts/part.ts';
import { followLinks } from './router.ts';

const root = document.getElementById('app');
if (root === null) throw new Error('the page has no place for the app');
followLinks();
render(part(App, {}), root);
