/** One value of a gauge, as it stands at one scrape. */
export interface Sample {
  name: GaugeName;
  labels: Record<string, string>;
  value: number;
}

interface GaugeRules {
  help: string;
  labels: readonly string[];
}

/** All that is read at a scrape. What has a state without rows stands there as 0; an age is absent where nothing has it. */
export const GAUGES = {
  lading_uploads: { help: 'Uploads by state.', labels: ['state'] },
  lading_upload_bytes: { help: 'Bytes of uploads by state, without those still incomplete.', labels: ['state'] },
  lading_uploads_oldest_age_seconds: { help: 'Since the oldest upload in this state last changed.', labels: ['state'] },
  lading_aggregates: { help: 'Aggregates by stage: active once a deal became so.', labels: ['stage'] },
  lading_aggregate_bytes: { help: 'CAR bytes of aggregates by stage.', labels: ['stage'] },
  lading_aggregates_oldest_age_seconds: {
    help: 'Since the oldest upload in an aggregate of this stage was accepted.',
    labels: ['stage'],
  },
  lading_deals: { help: 'Deals by state.', labels: ['state'] },
  lading_deal_bytes: { help: 'Padded bytes of deals by state.', labels: ['state'] },
  lading_deals_oldest_age_seconds: { help: 'Since the oldest deal in this state last changed.', labels: ['state'] },
  lading_transfers: { help: 'Pieces that providers of accepted deals fetch, by whether they move.', labels: ['state'] },
  lading_providers: {
    help: 'Providers by state: resting ones failed and are left alone for a while.',
    labels: ['state'],
  },
  lading_jobs: { help: 'Jobs by queue and state.', labels: ['queue', 'state'] },
  lading_jobs_oldest_age_seconds: {
    help: 'Since the oldest job was due, or taken where it is active.',
    labels: ['queue', 'state'],
  },
  lading_pulls: { help: 'Uploads by URL that are under way, by whether they fail.', labels: ['state'] },
  lading_pulls_oldest_age_seconds: { help: 'Since the oldest of them was asked for.', labels: ['state'] },
  lading_pin_requests: { help: 'Pins by CID that are under way.', labels: ['state'] },
  lading_pin_requests_oldest_age_seconds: { help: 'Since the oldest of them was asked for.', labels: ['state'] },
  lading_pins: { help: 'Uploads in the IPFS Cluster by the state of their pin.', labels: ['state'] },
  lading_pins_oldest_age_seconds: { help: 'Since the oldest pin in this state last changed.', labels: ['state'] },
  lading_pin_cluster_failing_seconds: {
    help: 'Since when the IPFS Cluster does not answer; 0: it does, or there is none.',
    labels: [],
  },
  lading_webhooks: { help: 'Webhooks by how their calls go.', labels: ['state'] },
  lading_webhooks_oldest_failing_seconds: { help: 'Since the webhook that fails longest began to.', labels: [] },
  lading_webhook_backlog_events: {
    help: 'Events between the newest and what the slowest webhook was told.',
    labels: [],
  },
  lading_webhook_dead_letters: { help: 'Calls of webhooks that were given up and wait for a redrive.', labels: [] },
  lading_damaged_ranges: {
    help: 'Ranges of stored bytes that were found damaged and are not sound again.',
    labels: [],
  },
  lading_damaged_bytes: { help: 'Bytes of these ranges.', labels: [] },
  lading_store_bytes: { help: 'Bytes that rows name in the object store.', labels: [] },
  lading_store_free_bytes: {
    help: 'Bytes that can still be written; absent where the store has no bound.',
    labels: [],
  },
  lading_data_free_bytes: { help: 'Bytes that this process can still write in DATA_DIR.', labels: [] },
  lading_chain_differences: { help: 'Open differences between our deals and what the chain shows.', labels: ['kind'] },
  lading_chain_epoch: { help: 'The epoch as of which deals were last read.', labels: [] },
  lading_chain_finalized_epoch: { help: 'The last epoch that was seen final.', labels: [] },
  lading_chain_age_seconds: { help: 'Since deals were last compared with the chain.', labels: [] },
  lading_chain_degraded: {
    help: '1 while the chain cannot be read or believed, by the class of reason.',
    labels: ['reason'],
  },
  lading_chain_degraded_seconds: { help: 'Since when it cannot; 0: it can.', labels: [] },
  lading_chain_limited: { help: '1 while the nodes cannot show all that is wanted of them.', labels: [] },
  lading_rpc_endpoint_state: { help: '1 for the state that the endpoint is in.', labels: ['endpoint', 'state'] },
  lading_rpc_endpoint_standing: {
    help: '1 for how the endpoint compares with the others.',
    labels: ['endpoint', 'standing'],
  },
  lading_rpc_endpoint_since_seconds: { help: 'Since it is in this state and standing.', labels: ['endpoint'] },
  lading_rpc_endpoint_epoch: { help: 'Of its head, when it was last compared.', labels: ['endpoint'] },
  lading_rpc_endpoint_lag_epochs: { help: 'Behind the best head.', labels: ['endpoint'] },
  lading_rpc_endpoint_latency_seconds: { help: 'Moving average of about ten answered requests.', labels: ['endpoint'] },
  lading_stuck_items: {
    help: 'What is not where it should be for longer than this: uploads without an aggregate, aggregates without an active deal, deals not published.',
    labels: ['kind', 'beyond'],
  },
  lading_deals_unrenewed: {
    help: 'Active deals that end within this time, are due to be renewed, and have no later deal that follows.',
    labels: ['within'],
  },
  lading_deals_ended: { help: 'Deals that came to nothing or to their end, by why.', labels: ['state', 'reason'] },
  lading_datacap_free_bytes: { help: 'DataCap of each client of ours, as the chain showed it.', labels: ['client'] },
  lading_datacap_runway_seconds: {
    help: 'How long it lasts by what the last four weeks took; absent where they took none.',
    labels: ['client'],
  },
  lading_escrow_free_fil: {
    help: 'Market balance of each client of ours that nothing locks, as the chain showed it.',
    labels: ['client'],
  },
  lading_escrow_runway_seconds: {
    help: 'How long it lasts by what the last four weeks took; absent where they took none.',
    labels: ['client'],
  },
  lading_proposing_paused: { help: '1 while an operator has paused all proposing.', labels: [] },
  lading_proposing_paused_seconds: { help: 'Since when it is paused; 0: it is not.', labels: [] },
  lading_figures_age_seconds: {
    help: 'How old the figures of the database are; a group that could not be read for long is absent with its figures.',
    labels: ['group'],
  },
} as const satisfies Record<string, GaugeRules>;

export type GaugeName = keyof typeof GAUGES;

/** An age that clocks make negative is none. */
export function ageSeconds(since: Date, now: Date): number {
  return Math.max(0, (now.getTime() - since.getTime()) / 1_000);
}
