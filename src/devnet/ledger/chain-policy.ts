/** What one devnet decides once and keeps: the journal's first line. */
export interface ChainPolicy {
  seed: string;
  networkName: string;
  /** Unix time of epoch 0. */
  genesisSeconds: number;
  /** A tipset this many epochs below the head is final, and no reorg goes deeper. F3 takes 4 to 10 on mainnet. */
  finalityEpochs: number;
  /** The market actor's least provider collateral, attoFIL per GiB of padded piece; 0 as on a young chain. */
  collateralPerGib: bigint;
}

/** All FIL there will ever be, in attoFIL: the market actor's upper bound for prices and collaterals. */
export const TOTAL_SUPPLY = 2_000_000_000n * 10n ** 18n;

const GIB = 1n << 30n;

/** Bounds that the market actor itself checks. */
export function actorCollateralMin(policy: ChainPolicy, pieceBytes: bigint): bigint {
  return (policy.collateralPerGib * pieceBytes) / GIB;
}

/** Bounds that StateDealProviderCollateralBounds tells: the minimum has 10 % to spare (lotus node/impl/full/state.go). */
export function quotedCollateralBounds(policy: ChainPolicy, pieceBytes: bigint): { min: bigint; max: bigint } {
  return { min: (actorCollateralMin(policy, pieceBytes) * 110n) / 100n, max: TOTAL_SUPPLY };
}
