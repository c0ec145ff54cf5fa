/** The one place where codes become HTTP statuses: each with its status, and what it means in a few words. */
export const errorCodes = {
  INVALID_REQUEST: [400, 'The request is not as its route describes it'],
  INVALID_CID: [400, 'This is not a CID of the kind asked for'],
  INVALID_BEFORE: [400, 'This is no time, and no place in the list'],
  INVALID_CURSOR: [400, 'The cursor is not one that this list gave'],
  INVALID_EVENT_ID: [400, 'There was never an event with this id'],
  URL_REFUSED: [400, 'Nothing is fetched from such a URL'],
  ADDRESS_NOT_PUBLIC: [400, 'Nothing is fetched from an address that is not of the public internet'],
  UNRESOLVED: [400, 'The name in the URL has no address at the moment'],
  WEBHOOK_URL_REFUSED: [400, 'No webhook may go to this address'],
  POLICY_INVALID: [400, 'A term of the policy is unknown or has no such value'],
  PROVIDER_INVALID: [400, 'What is told of the provider cannot be'],
  BLOCK_INVALID: [400, 'A block cannot be read as its codec says'],
  CAR_CID_INVALID: [400, 'A section of the CAR does not begin with a CID'],
  CAR_HEADER_INVALID: [400, 'The header of the CAR cannot be read'],
  CAR_MANY_ROOTS: [400, 'The CAR names more than one root'],
  CAR_NO_ROOT: [400, 'The CAR names no root'],
  CAR_PAYLOAD_MISSING: [400, 'The CARv2 has no payload where its header says'],
  CAR_SECTION_EMPTY: [400, 'A section of the CAR is empty'],
  CAR_SECTION_TOO_LARGE: [400, 'A section of the CAR is larger than a block may be'],
  CAR_TRUNCATED: [400, 'The CAR ends in the middle of a section'],
  CAR_VARINT_INVALID: [400, 'A length in the CAR cannot be read'],
  CAR_VERSION_UNSUPPORTED: [400, 'The CAR is of a version that is not taken'],
  ENCODING_BROKEN: [400, 'The body is not in the content encoding that it names'],
  EMPTY_UPLOAD: [400, 'The body has no bytes'],
  FORM_BROKEN: [400, 'The body is no sound multipart/form-data'],
  FORM_FIELD: [400, 'A part of the form has no file name'],
  PATH_INVALID: [400, 'A file of the form has a path that is not taken'],
  DUPLICATE_PATH: [400, 'A path is there twice, or is both a file and a directory'],
  HASH_MISMATCH: [400, 'A block is not what its CID says'],
  IDENTITY_CID_TOO_LARGE: [400, 'An identity CID holds more than it may'],
  PART_TOO_SCATTERED: [400, 'The part repeats blocks of earlier parts at too many places'],
  ROOT_DIFFERS: [400, 'The CAR has another root than it should'],
  ROOT_NOT_IN_CAR: [400, 'The root is not among the blocks of the CAR'],
  ROOT_TOO_LONG: [400, 'The CID of the root is too long'],
  UNKNOWN_CODEC: [400, 'A block has a codec that is not known here'],
  UNKNOWN_HASH: [400, 'A block is hashed in a way that is not known here'],
  TOKEN_INVALID: [400, 'No token can have this name or end at this time'],
  UNAUTHORIZED: [401, 'No token was sent, or none of ours'],
  FORBIDDEN: [403, 'The token may not do this'],
  NOT_FOUND: [404, 'There is nothing here by that name'],
  NFT_NOT_FOUND: [404, 'No upload has this CID'],
  STORED_BLOCK_MISSING: [404, 'A block that the links lead to is not stored here'],
  METHOD_NOT_ALLOWED: [405, 'This path is not called with this method'],
  NOT_ACCEPTABLE: [406, 'It is not to be had in a format that Accept names'],
  REQUEST_TIMEOUT: [408, 'The request did not arrive in time'],
  AGGREGATE_NOT_OPEN: [409, 'The aggregate takes no uploads any more, or has none yet'],
  TOO_MANY_WEBHOOKS: [409, 'The token has as many webhooks as it may'],
  TOO_MANY_PULLS: [409, 'The token has as many uploads by URL waiting as it may'],
  CONFLICT: [409, 'What is there already does not allow this'],
  NOT_SEALED: [409, 'The upload is in no sealed aggregate yet'],
  TOKEN_NAME_TAKEN: [409, 'Another token has this name'],
  DEAL_NOT_OPEN: [409, 'The deal is past the point where this can be done'],
  PIECE_RELEASED: [410, 'The bytes are not kept here any more: the providers have them'],
  POLICY_CHANGED: [412, 'The policy is not the version that If-Match names'],
  NOT_CACHED: [412, 'It is not stored here, and nowhere else was to be asked'],
  BODY_TOO_LARGE: [413, 'The body is larger than this route takes'],
  DAG_TOO_DEEP: [413, 'The links of the upload go too deep'],
  EXPANSION_TOO_LARGE: [413, 'The body unpacks to more than it may'],
  TOO_MANY_BLOCKS: [413, 'The upload has too many blocks'],
  TOO_MANY_FILES: [413, 'The form has too many files and directories'],
  TOO_MANY_LINKS: [413, 'The upload has too many links'],
  UPLOAD_TOO_LARGE: [413, 'The upload is larger than one may be'],
  UNSUPPORTED_MEDIA_TYPE: [415, 'The body has a content type that this route does not take'],
  RANGE_NOT_SATISFIABLE: [416, 'The range cannot be served'],
  RATE_LIMITED: [429, 'Too many requests: wait as Retry-After says'],
  HEADERS_TOO_LARGE: [431, 'The headers of the request are too large'],
  INTERNAL: [500, 'Something went wrong inside'],
  TOO_MANY_BLOCKS_TO_WALK: [501, 'The upload has too many blocks for paths, scopes and orders'],
  DAG_TOO_WIDE: [501, 'The DAG has too many links for paths, scopes and orders'],
  UNAVAILABLE: [503, 'The service cannot answer at the moment'],
  NETWORK_UNKNOWN: [503, 'The chain was not reached yet'],
  TOO_MANY_STREAMS: [503, 'There are as many event streams as there may be'],
  TOO_MANY_CONNECTIONS: [503, 'The provider has as many connections open as it may'],
  STORE_UNAVAILABLE: [503, 'The object store cannot be reached'],
  STORE_FULL: [507, 'The object store is full'],
  STORE_QUOTA: [507, 'The quota of the object store is used up'],
} as const satisfies Readonly<Record<string, readonly [status: number, meaning: string]>>;

export type ErrorCode = keyof typeof errorCodes;

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code);
}

/** Codes that existing clients know by another name. */
const compatibleCodes: Partial<Record<ErrorCode, string>> = {
  INVALID_CID: 'ERROR_INVALID_CID',
  NFT_NOT_FOUND: 'HTTP_ERROR',
};

/** The name of a code on the routes that existing clients call. */
export function compatibleCode(code: string): string {
  return (isErrorCode(code) ? compatibleCodes[code] : undefined) ?? code;
}

/** Codes that the IPFS Pinning Service API has a name of its own for, or another status. */
const pinningCodes: Partial<Record<string, { reason: string; status?: number }>> = {
  INVALID_REQUEST: { reason: 'BAD_REQUEST' },
  INTERNAL: { reason: 'INTERNAL_SERVER_ERROR' },
  STORE_QUOTA: { reason: 'INSUFFICIENT_FUNDS', status: 409 },
};

/** How a fault is told on the routes of the IPFS Pinning Service API. */
export function pinningAnswer({ code, status }: { code: string; status: number }): { reason: string; status: number } {
  return { reason: code, status, ...pinningCodes[code] };
}
