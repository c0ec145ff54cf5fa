import type { VNode } from 'preact';
import type { Session } from './data/session.ts';
import type { PageProps } from './page-props.ts';
import type { IconName } from './parts/icon.ts';

type PageComponent = (props: PageProps) => VNode | null;

interface Route {
  pattern: string;
  load: () => Promise<PageComponent>;
  /** In the menu; without it the page lies below one that is. */
  menu?: { text: string; icon: IconName; group: 'Pipeline' | 'Operations' };
}

/** Every page: a module of its own, loaded when it is first gone to. */
export const routes: readonly Route[] = [
  {
    pattern: '/dashboard',
    load: async () => (await import('./overview/overview-page.ts')).OverviewPage,
    menu: { text: 'Overview', icon: 'overview', group: 'Pipeline' },
  },
  {
    pattern: '/dashboard/uploads',
    load: async () => (await import('./uploads/uploads-page.ts')).UploadsPage,
    menu: { text: 'Uploads', icon: 'uploads', group: 'Pipeline' },
  },
  {
    pattern: '/dashboard/uploads/:cid',
    load: async () => (await import('./uploads/upload-page.ts')).UploadPage,
  },
  {
    pattern: '/dashboard/aggregates',
    load: async () => (await import('./aggregates/aggregates-page.ts')).AggregatesPage,
    menu: { text: 'Aggregates', icon: 'aggregates', group: 'Pipeline' },
  },
  {
    pattern: '/dashboard/aggregates/:id',
    load: async () => (await import('./aggregates/aggregate-page.ts')).AggregatePage,
  },
  {
    pattern: '/dashboard/deals',
    load: async () => (await import('./deals/deals-page.ts')).DealsPage,
    menu: { text: 'Deals', icon: 'deals', group: 'Pipeline' },
  },
  {
    pattern: '/dashboard/deals/:id',
    load: async () => (await import('./deals/deal-page.ts')).DealPage,
  },
  {
    pattern: '/dashboard/providers',
    load: async () => (await import('./providers/providers-page.ts')).ProvidersPage,
    menu: { text: 'Providers', icon: 'providers', group: 'Pipeline' },
  },
  {
    pattern: '/dashboard/providers/:id',
    load: async () => (await import('./providers/provider-page.ts')).ProviderPage,
  },
  {
    pattern: '/dashboard/chain',
    load: async () => (await import('./chain/chain-page.ts')).ChainPage,
    menu: { text: 'Chain', icon: 'chain', group: 'Operations' },
  },
  {
    pattern: '/dashboard/policy',
    load: async () => (await import('./policy/policy-page.ts')).PolicyPage,
    menu: { text: 'Policy', icon: 'policy', group: 'Operations' },
  },
  {
    pattern: '/dashboard/jobs',
    load: async () => (await import('./jobs/jobs-page.ts')).JobsPage,
    menu: { text: 'Jobs', icon: 'jobs', group: 'Operations' },
  },
  {
    pattern: '/dashboard/audit',
    load: async () => (await import('./audit/audit-page.ts')).AuditPage,
    menu: { text: 'Audit', icon: 'audit', group: 'Operations' },
  },
  {
    pattern: '/dashboard/tokens',
    load: async () => (await import('./tokens/tokens-page.ts')).TokensPage,
    menu: { text: 'Tokens', icon: 'tokens', group: 'Operations' },
  },
];

/** A token of role upload reads its own uploads and nothing else. */
export function maySee(role: Session['role'], pattern: string): boolean {
  return role !== 'upload' || pattern.startsWith('/dashboard/uploads');
}
