import type { Gas } from '../../chain/messages-write.ts';

/**
 * Pure. Gas with which nodes put a message in the place of one of the same nonce that waits: Lotus wants a premium a
 * quarter higher (chain/messagepool, ReplaceByFeeRatio). No less than what the node asks for now, and the limit stays.
 */
export function raiseGas(before: Gas, asked: Gas): Gas {
  const gasPremium = larger(quarterMore(before.gasPremium), asked.gasPremium);
  const gasFeeCap = larger(larger(quarterMore(before.gasFeeCap), asked.gasFeeCap), gasPremium);
  return { gasLimit: Math.max(before.gasLimit, asked.gasLimit), gasFeeCap, gasPremium };
}

function quarterMore(price: bigint): bigint {
  return (price * 5n) / 4n + 1n;
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
