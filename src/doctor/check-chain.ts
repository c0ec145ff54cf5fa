import type { Chain } from '../chain/chain.ts';
import { networks, type NetworkName } from '../filecoin/networks.ts';
import { formatBytes, formatFil } from '../filecoin/units.ts';
import type { Wallet } from '../deals/wallet/wallet.ts';
import { examine, sound, wrong, type Finding } from './finding.ts';

/** Nodes are a few epochs behind now and then; half an hour is not that. */
const MAX_LAG_EPOCHS = 20;
/** Epochs of events asked for: one answer, however full the chain. */
const EVENT_EPOCHS = 5;

interface ChainInput {
  /** What the endpoint is called; never its token. */
  name: string;
  chain: Chain;
  network: NetworkName;
  now: Date;
  signal: AbortSignal;
}

/** Network, height, lag and events of one endpoint. */
export async function checkEndpoint({ name, chain, network, now, signal }: ChainInput): Promise<Finding[]> {
  return examine(
    `chain ${name}`,
    'see that CHAIN_RPC_URL and CHAIN_RPC_TOKEN are right and the node runs',
    async () => {
      const genesis = await chain.genesis(signal);
      const expected = networks[network].genesisSeconds;
      if (expected !== undefined && genesis.timestampSeconds !== expected) {
        const advice = `give CHAIN_RPC_URL of a ${network} node, or another CHAIN_NETWORK`;
        return [
          wrong(`chain ${name}`, `serves the network ${await chain.networkName(signal)}, not ${network}`, advice),
        ];
      }
      const head = await chain.head(signal);
      return [
        sound(`chain ${name}`, `serves ${network} (${await chain.networkName(signal)}), at height ${head.height}`),
        judgeLag({ name, network }, now.getTime() / 1_000 - head.timestampSeconds),
        ...(await checkEvents({ name, chain, network, now, signal }, head.height)),
      ];
    },
  );
}

function judgeLag({ name, network }: { name: string; network: NetworkName }, lagSeconds: number): Finding {
  const { epochSeconds } = networks[network];
  if (epochSeconds === undefined) return sound(`chain.lag ${name}`, 'the epochs of a devnet do not follow the clock');
  const lagEpochs = lagSeconds / epochSeconds;
  const told = `${Math.max(0, Math.round(lagEpochs))} epochs behind the clock`;
  if (Math.abs(lagEpochs) <= MAX_LAG_EPOCHS) return sound(`chain.lag ${name}`, told);
  return wrong(`chain.lag ${name}`, told, 'wait until the node has caught up; check the clock of this machine');
}

async function checkEvents({ name, chain, signal }: ChainInput, height: number): Promise<Finding[]> {
  const advice = 'turn on the events of the node (Lotus: Events.EnableActorEventsAPI), or put another one first';
  return examine(`chain.events ${name}`, advice, async () => {
    const range = { fromHeight: Math.max(0, height - EVENT_EPOCHS), toHeight: height };
    const events = await chain.dealEvents({ ...range, types: ['deal-activated'], clients: ['f00'], signal });
    return [sound(`chain.events ${name}`, `answers for events (${events.length} of nobody)`)];
  });
}

/** Address, balance and DataCap of the configured wallet; what is low depends on the policy. */
export async function checkWallet(
  wallet: Wallet,
  chain: Chain | undefined,
  given: { verified: boolean; signal: AbortSignal },
): Promise<Finding[]> {
  return examine('wallet', 'see that WALLET names a key file of mode 0600', async () => {
    const address = await wallet.address();
    if (chain === undefined)
      return [sound('wallet', `${address}; without CHAIN_RPC_URL nothing is known of its money`)];
    const options = { signal: given.signal };
    const id = await chain.lookupId(address, options);
    if (id === undefined)
      return [wrong('wallet', `${address} is not on the chain`, 'send it some FIL, which makes its actor')];
    return [
      sound('wallet', `${address} (${id})`),
      await judgeMarket(chain, address, given),
      await judgeDataCap(chain, address, given),
    ];
  });
}

async function judgeMarket(chain: Chain, address: string, given: { verified: boolean; signal: AbortSignal }) {
  const { escrow, locked } = await chain.marketBalance(address, { signal: given.signal });
  const told = `${formatFil(escrow - locked)} FIL free in the market, ${formatFil(locked)} FIL locked`;
  const isEnough = escrow > locked || given.verified;
  if (isEnough) return sound('wallet.market', told);
  return wrong('wallet.market', told, 'add market balance: storage is paid from it');
}

async function judgeDataCap(chain: Chain, address: string, given: { verified: boolean; signal: AbortSignal }) {
  const bytes = await chain.verifiedClientStatus(address, { signal: given.signal });
  const told = bytes === undefined ? 'no DataCap' : `${formatBytes(bytes)} of DataCap`;
  if (!given.verified || (bytes ?? 0n) > 0n) return sound('wallet.datacap', told);
  return wrong('wallet.datacap', told, 'apply for DataCap, or lading policy set verified=false');
}
