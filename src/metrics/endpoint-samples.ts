import type { EndpointHealth } from '../chain/endpoint-health.ts';
import { ageSeconds, type GaugeName, type Sample } from './gauges.ts';

const STATES: readonly EndpointHealth['state'][] = ['unknown', 'well', 'resting'];
const STANDINGS: readonly EndpointHealth['standing'][] = [
  'unknown',
  'agrees',
  'behind',
  'ahead',
  'differs',
  'disputed',
];

/** Pure: how the endpoints of the chain fare. Each is named by host and port, as in the log. */
export function endpointSamples(endpoints: readonly EndpointHealth[], now: Date): Sample[] {
  return endpoints.flatMap((health) => {
    const { host: endpoint, since, height, lagEpochs, latencyMs } = health;
    const one = (name: GaugeName, value: number | undefined): Sample[] =>
      value === undefined ? [] : [{ name, labels: { endpoint }, value }];
    return [
      ...STATES.map((state) => ({
        name: 'lading_rpc_endpoint_state' as const,
        labels: { endpoint, state },
        value: Number(state === health.state),
      })),
      ...STANDINGS.map((standing) => ({
        name: 'lading_rpc_endpoint_standing' as const,
        labels: { endpoint, standing },
        value: Number(standing === health.standing),
      })),
      ...one('lading_rpc_endpoint_since_seconds', since && ageSeconds(since, now)),
      ...one('lading_rpc_endpoint_epoch', height),
      ...one('lading_rpc_endpoint_lag_epochs', lagEpochs),
      ...one('lading_rpc_endpoint_latency_seconds', latencyMs === undefined ? undefined : latencyMs / 1_000),
    ];
  });
}
