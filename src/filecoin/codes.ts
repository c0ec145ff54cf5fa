/** Codes of the multicodec table that the formats here name. */
export const RAW = 0x55;
export const DAG_PB = 0x70;
export const DAG_CBOR = 0x71;
export const DAG_JSON = 0x0129;
export const FIL_COMMITMENT_UNSEALED = 0xf101;

export const IDENTITY = 0x00;
export const SHA2_256 = 0x12;
export const SHA2_512 = 0x13;
export const BLAKE2B_256 = 0xb220;
export const SHA2_256_TRUNC254_PADDED = 0x1012;
export const FR32_SHA2_256_TRUNC254_PADDED_BINARY_TREE = 0x1011;
