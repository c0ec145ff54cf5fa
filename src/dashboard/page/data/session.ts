import { createContext } from 'preact';
import { useContext } from 'preact/hooks';

export interface Session {
  name: string;
  role: 'ops' | 'read' | 'upload';
  network: string;
}

export const SessionContext = createContext<Session>({ name: '', role: 'read', network: '' });

/** Who is looking. */
export function useSession(): Session {
  return useContext(SessionContext);
}

/** Whether they may change anything: what they may not do is not shown to them. */
export function useMayAct(): boolean {
  return useSession().role === 'ops';
}
