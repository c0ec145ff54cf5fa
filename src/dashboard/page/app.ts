import type { VNode } from 'preact';
import { useCallback, useEffect, useState } from 'preact/hooks';
import { asProblem, callApi, sessionEnded, type ApiProblem } from './data/call-api.ts';
import { SessionContext, type Session } from './data/session.ts';
import { Frame } from './frame/frame.ts';
import { Login } from './frame/login.ts';
import { part } from './parts/part.ts';
import { Problem } from './parts/states.ts';

type State =
  | { kind: 'asking' }
  | { kind: 'out' }
  | { kind: 'in'; session: Session }
  | { kind: 'broken'; problem: ApiProblem };

/** Who looks: asks the service, shows the login where nobody is known, and again when the session ends. */
export function App(): VNode | null {
  const [state, setState] = useState<State>({ kind: 'asking' });
  const ask = useCallback(() => {
    callApi<Session | undefined>('/dashboard/session').then(
      (session) => setState(session === undefined ? { kind: 'out' } : { kind: 'in', session }),
      (error: unknown) => setState({ kind: 'broken', problem: asProblem(error) }),
    );
  }, []);
  useEffect(ask, []);
  useEffect(() => {
    const end = (): void => setState({ kind: 'out' });
    sessionEnded.addEventListener('ended', end);
    return () => sessionEnded.removeEventListener('ended', end);
  }, []);
  switch (state.kind) {
    case 'asking':
      return null;
    case 'out':
      return part(Login, { onLogin: (session) => setState({ kind: 'in', session }) });
    case 'broken':
      return part(Problem, { problem: state.problem, retry: ask });
    case 'in':
      return part(
        SessionContext.Provider,
        { value: state.session },
        part(Frame, { onLogout: () => setState({ kind: 'out' }) }),
      );
    default:
      throw new Error('no such state');
  }
}
