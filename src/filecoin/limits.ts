/** Epochs of 30 seconds in a day. */
export const EPOCHS_PER_DAY = 2_880;

/** Shortest deal the market actor publishes: 180 days (builtin-actors market policy; FIP-0110 would lower it). */
export const MIN_DEAL_DURATION_EPOCHS = 518_400;

/** Longest deal, and the furthest end from the current epoch: 1,278 days (FIP-0052). */
export const MAX_DEAL_DURATION_EPOCHS = 3_680_640;

/** After so many epochs Expected Consensus never reverts a tipset, even when F3 does not run. */
export const EC_FINALITY_EPOCHS = 900;

/** The market actor drops a deal whose label is longer than this, in bytes of UTF-8 or of the byte string. */
export const MAX_LABEL_BYTES = 256;

/** Smallest padded piece: four 32-byte nodes, which hold 127 bytes. */
export const MIN_PIECE_BYTES = 128n;

/** Smallest padded piece of a verified deal: the verified registry allocates no less (builtin-actors, 1 MiB). */
export const MIN_VERIFIED_PIECE_BYTES = 1_048_576n;
