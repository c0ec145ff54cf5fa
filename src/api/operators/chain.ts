import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { EndpointHealth } from '../../chain/endpoint-health.ts';
import type { DB } from '../../db/tables.ts';
import type { DealNetwork } from '../../deals/status/deal-object.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { findChainSight, listOpenDifferences, type OpenDifference } from '../../deals/watch/chain-sight.ts';
import { exactly, nullableNumber, nullableText, problem } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

export interface ChainDeps {
  kysely: Kysely<DB>;
  dealNetwork(): DealNetwork | undefined;
  /** mainnet, calibration or devnet. */
  networkName?: string;
  /** How this process fares with the endpoints; undefined: none is configured. */
  rpcHealth?: (() => EndpointHealth[]) | undefined;
}

/** More than anybody looks through; how many there are is told. */
const MAX_DIFFERENCES = 100;

const TIME = '2026-03-01T12:30:00.123000+00:00';
const orNull = (example: string) => Type.Union([Type.String({ examples: [example] }), Type.Null()]);

const endpointSchema = exactly({
  host: Type.String({ description: 'host and port', examples: ['node.example.com:443'] }),
  state: Type.String({ description: 'unknown, well or resting' }),
  standing: Type.String({
    description: 'of its head beside the others: agrees, behind, ahead, differs, disputed',
    examples: ['agrees'],
  }),
  since: Type.Union([Type.String(), Type.Null()], { description: 'since when it is so' }),
  lastFault: orNull('RPC_TIMEOUT'),
  latencyMs: nullableNumber,
  height: nullableNumber,
  lagEpochs: nullableNumber,
});

const differenceSchema = exactly({
  dealId: Type.String({ examples: ['0d7a5c1e-8f0b-4b6a-9a3c-2f6d1e5b7c90'] }),
  kind: Type.String({ description: 'untold, absent, another_proposal or nodes_disagree' }),
  detail: Type.String(),
  epoch: Type.Number(),
  found: Type.String({ examples: [TIME] }),
});

const chainSchema = exactly({
  network: Type.String({ examples: ['mainnet'] }),
  genesis: orNull('2020-08-24T22:00:00.000000+00:00'),
  asOf: Type.Union([Type.String(), Type.Null()], { description: 'of when our view of the chain is' }),
  epoch: nullableNumber,
  finalizedEpoch: Type.Union([Type.Number(), Type.Null()], { description: 'what is below is never taken back' }),
  lookedAt: nullableText,
  degradedSince: orNull(TIME),
  degradedReason: orNull('no node answers'),
  limited: orNull('no node keeps events'),
  endpoints: Type.Array(endpointSchema, { description: 'of the process that answers' }),
  openDifferences: Type.Integer(),
  differences: Type.Array(differenceSchema, { description: 'the newest hundred' }),
});

/** How well we see the chain. */
export function chainRoute(server: Server, deps: ChainDeps): void {
  server.get(
    '/chain',
    {
      config: { access: ['ops', 'read'] },
      schema: {
        tags: ['operations'],
        summary: 'How we see the chain',
        description:
          'How fresh and how final our view is, how each endpoint fares, and deals that the chain has otherwise than we know, which want an operator.',
        querystring: exactly({}),
        response: { 200: chainSchema, '4xx': problem, '5xx': problem },
      },
    },
    async () => {
      const sight = await findChainSight(deps.kysely);
      const differences = await listOpenDifferences(deps.kysely, MAX_DIFFERENCES);
      const genesisSeconds = deps.dealNetwork()?.genesisSeconds;
      return {
        network: deps.networkName ?? '',
        genesis: genesisSeconds === undefined ? null : timeOf(new Date(genesisSeconds * 1_000)),
        ...sight,
        asOf: timeOf(sight.asOf),
        lookedAt: timeOf(sight.lookedAt),
        degradedSince: timeOf(sight.degradedSince),
        endpoints: (deps.rpcHealth?.() ?? []).map(endpointAnswer),
        differences: differences.map(differenceAnswer),
      };
    },
  );
}

function timeOf(at: Date | null | undefined): string | null {
  return at ? formatOffsetTime(at, 'microseconds') : null;
}

function endpointAnswer({ since, lastFault, latencyMs, height, lagEpochs, ...health }: EndpointHealth) {
  return {
    ...health,
    since: timeOf(since),
    lastFault: lastFault ?? null,
    latencyMs: latencyMs ?? null,
    height: height ?? null,
    lagEpochs: lagEpochs ?? null,
  };
}

function differenceAnswer({ foundAt, ...difference }: OpenDifference) {
  return { ...difference, found: formatOffsetTime(foundAt, 'microseconds') };
}
