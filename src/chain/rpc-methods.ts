/** What only reads the chain: such a call may be made again, and to any endpoint. */
const readMethods = [
  'ChainGetFinalizedTipSet',
  'ChainGetGenesis',
  'ChainGetMessage',
  'ChainGetParentMessages',
  'ChainGetParentReceipts',
  'ChainGetTipSetByHeight',
  'ChainHead',
  'GasEstimateMessageGas',
  'GetActorEventsRaw',
  'MpoolGetNonce',
  'StateAccountKey',
  'StateDealProviderCollateralBounds',
  'StateLookupID',
  'StateMarketBalance',
  'StateMarketStorageDeal',
  'StateMinerInfo',
  'StateNetworkName',
  'StateSearchMsg',
  'StateVerifiedClientStatus',
  'WalletBalance',
  'WalletHas',
] as const;

/** Without `Filecoin.` */
export type ReadMethod = (typeof readMethods)[number];
/** What changes something: made once, to one endpoint, whatever becomes of it. */
export type WriteMethod = 'MpoolPush' | 'WalletSign';

const reads: ReadonlySet<string> = new Set(readMethods);

export function isReadMethod(method: string): method is ReadMethod {
  return reads.has(method);
}
