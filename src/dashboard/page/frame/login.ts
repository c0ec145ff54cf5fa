import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { asProblem, callApi, type ApiProblem } from '../data/call-api.ts';
import type { Session } from '../data/session.ts';
import { part } from '../parts/part.ts';
import { Problem } from '../parts/states.ts';
import { Brand } from './brand.ts';

/** Asks for a token, and keeps none of it: the service answers with a cookie that no script reads. */
export function Login({ onLogin }: { onLogin: (session: Session) => void }): VNode {
  const [token, setToken] = useState('');
  const [problem, setProblem] = useState<ApiProblem>();
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    document.title = 'Log in · Lading';
  }, []);
  const submit = (event: Event): void => {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    callApi<Session>('/dashboard/session', { method: 'POST', body: { token: token.trim() } })
      .then(onLogin, (error: unknown) => setProblem(asProblem(error)))
      .finally(() => setBusy(false));
  };
  const type = ({ currentTarget }: { currentTarget: HTMLInputElement }): void => setToken(currentTarget.value);
  return html`<main class="login">
    <form class="login-box" onSubmit=${submit}>
      ${part(Brand, {})}
      <h1>Log in</h1>
      <p>With a token of this service: <code>API_TOKENS</code>, or one made by <code>lading token create</code>.</p>
      <label class="field"><span>Token</span>
        <input type="password" name="token" required autofocus autocomplete="current-password" value=${token} onInput=${type} />
      </label>
      ${problem && part(Problem, { problem })}
      <button type="submit" class="button button-main" disabled=${isBusy || token.trim() === ''}>
        ${isBusy ? 'Logging in…' : 'Log in'}
      </button>
    </form>
  </main>`;
}
