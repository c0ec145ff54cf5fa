/** Answers are data: whoever opens one as a page gets no script, no frame and nothing loaded. A page sets its own. */
const DATA_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const YEAR_SECONDS = 31_536_000;

/** What tells browsers to be careful with our answers. `secure`: we are reached by https. */
export function securityHeaders({ secure }: { secure: boolean }): Record<string, string> {
  return {
    'x-content-type-options': 'nosniff',
    'content-security-policy': DATA_POLICY,
    'referrer-policy': 'no-referrer',
    'x-frame-options': 'DENY',
    ...(secure && { 'strict-transport-security': `max-age=${YEAR_SECONDS}` }),
  };
}
