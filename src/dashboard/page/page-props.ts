/** What every page is given. */
export interface PageProps {
  /** What the pattern names: `params['id'] ?? ''`. */
  params: Record<string, string>;
  query: URLSearchParams;
}
