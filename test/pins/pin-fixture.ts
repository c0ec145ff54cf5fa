import { sql } from 'kysely';
import { startStandInCluster } from '../../src/devnet/ipfs-cluster/cluster-server.ts';
import { GroupCommit } from '../../src/aggregate/receive/commit-group.ts';
import { silentLog } from '../../src/log/log.ts';
import { actOnAllDue } from '../../src/pins/act.ts';
import { openPinCluster } from '../../src/pins/cluster/cluster-client.ts';
import { pinTimes } from '../../src/pins/decide-pin.ts';
import { lookNext } from '../../src/pins/look.ts';
import type { PinDeps } from '../../src/pins/pin-stage.ts';
import { wantPinsOnCompletion } from '../../src/pins/pin-wishes.ts';
import { apiFixture } from '../support/api-fixture.ts';

export const never = new AbortController().signal;

/** A service with an API, and a cluster of two peers that is none; nothing of the pin stage runs by itself. */
export async function pinFixture(options: Parameters<typeof startStandInCluster>[0] = {}) {
  await using stack = new AsyncDisposableStack();
  const standIn = stack.use(await startStandInCluster(options));
  let degraded: string | undefined;
  const fixture = stack.use(await apiFixture({ server: { pinView: () => ({ degraded }) } }));
  const { kysely, store, jobs, deps } = fixture;
  const onComplete = wantPinsOnCompletion(jobs);
  fixture.receive.onComplete = onComplete;
  fixture.receive.groups = new GroupCommit({ ...fixture.receive, onComplete });
  const cluster = stack.use(openPinCluster({ url: standIn.url, authorization: undefined }));
  const rules = { times: pinTimes, random: () => 0.5 };
  const pinDeps: PinDeps = { db: kysely, store, jobs, clock: deps.clock, log: silentLog, cluster, rules };
  /** As if so much time went by. */
  const pass = (ms: number) =>
    sql`update pins set due_at = due_at - ${ms} * interval '1 ms',
    failing_since = failing_since - ${ms} * interval '1 ms', changed_at = changed_at - ${ms} * interval '1 ms'`.execute(
      kysely,
    );
  const owned = stack.move();
  return {
    ...fixture,
    standIn,
    pinDeps,
    pass,
    act: () => actOnAllDue(pinDeps, never),
    look: () => lookNext(pinDeps, never),
    say: (words: string | undefined) => (degraded = words),
    pin: async (root: string) =>
      await kysely
        .selectFrom('pins as p')
        .innerJoin('uploads as u', 'u.id', 'p.upload_id')
        .selectAll('p')
        .where('u.root', '=', root)
        .executeTakeFirst(),
    told: async (root: string) => {
      const answer = await fixture.server.inject({ url: `/check/${root}` });
      return answer.json<{ value: { pin: { status: string }; degraded?: string[] } }>().value;
    },
    events: async () =>
      await kysely
        .selectFrom('events')
        .select(['reason_code', 'detail', 'to_state'])
        .where('reason_code', 'like', 'PIN_%')
        .orderBy('position')
        .execute(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
