export const SOFTWARE = ['boost', 'curio'] as const;
export type Software = (typeof SOFTWARE)[number];

/**
 * How one storage provider behaves, as plain data: the knobs can come from a test, the command line or the control
 * door's JSON, and can change while the provider runs. Zero or '' or false switches a fault off.
 */
export interface Persona {
  /** Whose ways and words these are; what is read once, when the provider starts. */
  software: Software;
  /** Refuses every proposal that passes validation, with this text, as a deal filter of Boost does. */
  refuse: string;
  /** Reads a request and never answers; no proposal is looked at. */
  hang: boolean;
  /** Decides as usual, but ends the stream without an answer: the client cannot know what became of its proposal. */
  loseAnswers: boolean;
  /** Decides as usual, and sends half of each answer before the end of the stream. */
  halveAnswers: boolean;
  /** Says yes again to a proposal that it has already, where others tell of the duplicate. */
  takeDuplicates: boolean;
  /** Accepts, and never comes for the bytes. */
  neverFetch: boolean;
  /** Finds another commitment than the one proposed, whatever came. */
  mistakeCommP: boolean;
  /** Holds a full or due batch back so many epochs more. */
  publishDelayEpochs: number;
  /** Publishes although the start epoch has passed: the market actor refuses it. */
  publishElapsed: boolean;
  /** Publishes with a price of its own: the client's signature is not for that, and the market actor refuses it. */
  changeTerms: boolean;
  /** Publishes, and proves no sector. */
  neverProve: boolean;
  /** Tells the id of another deal as this one's. */
  lieDealId: boolean;
  /** Serves no piece to whoever wants one back, as where no unsealed copy is kept. */
  noPieces: boolean;
  /** Serves other bytes under the CID of a piece. */
  wrongPieces: boolean;
  /** Serves but the first half of a piece. */
  shortPieces: boolean;
  /** Holds each answer back this long, after deciding. */
  answerDelayMs: number;
  /** Upper bound of one transfer's rate; 0 is none. */
  fetchBytesPerSecond: number;
  /** Cuts this many … */
  dropConnections: number;
  /** … of every so many connections of a transfer, half-way through what they were to bring. */
  dropOutOf: number;
  /** Boost takes its first HEAD failure as final; more attempts make a more patient provider. */
  headAttempts: number;
  /** First pause after a broken connection; grows by half each time without progress, up to {@link retryMaxMs}. */
  retryMinMs: number;
  retryMaxMs: number;
  /** Transfers under way at once; others wait in line. */
  transfersAtOnce: number;
  /** Boost refuses literal private addresses (not loopback) unless configured. */
  allowPrivateIps: boolean;
  /** Ask prices, attoFIL per GiB and epoch. */
  askPrice: bigint;
  askVerifiedPrice: bigint;
  askMinPieceBytes: bigint;
  askMaxPieceBytes: bigint;
  acceptsOnline: boolean;
  acceptsOffline: boolean;
  acceptsVerified: boolean;
  acceptsUnverified: boolean;
  /** A deal may not start earlier than this after the head … */
  sealEpochs: number;
  /** … and an online deal not later than this after that. */
  maxStartDelayEpochs: number;
  /** A batch is published when it holds this many deals, or … */
  publishBatchDeals: number;
  /** … this many epochs after its first deal came. */
  publishBatchEpochs: number;
  /** From a confirmed publish to the proof of the sector. */
  proveEpochs: number;
}

/**
 * Boost's own defaults where it has them (storedask.go, node/config/def.go); times that are minutes there are scaled
 * to a devnet whose epoch is a second.
 */
const defaultPersona: Persona = {
  software: 'boost',
  refuse: '',
  hang: false,
  loseAnswers: false,
  halveAnswers: false,
  takeDuplicates: false,
  neverFetch: false,
  mistakeCommP: false,
  publishDelayEpochs: 0,
  publishElapsed: false,
  changeTerms: false,
  neverProve: false,
  lieDealId: false,
  noPieces: false,
  wrongPieces: false,
  shortPieces: false,
  answerDelayMs: 0,
  fetchBytesPerSecond: 0,
  dropConnections: 0,
  dropOutOf: 0,
  headAttempts: 1,
  retryMinMs: 170,
  retryMaxMs: 20_000,
  transfersAtOnce: 20,
  allowPrivateIps: false,
  askPrice: 50_000_000n,
  askVerifiedPrice: 5_000_000n,
  askMinPieceBytes: 256n,
  askMaxPieceBytes: 34_359_738_368n,
  acceptsOnline: true,
  acceptsOffline: true,
  acceptsVerified: true,
  acceptsUnverified: true,
  sealEpochs: 2_880,
  maxStartDelayEpochs: 40_320,
  publishBatchDeals: 8,
  publishBatchEpochs: 4,
  proveEpochs: 5,
};

export type PersonaPatch = Partial<Persona>;

/** Names for the usual kinds; each is a patch over {@link defaultPersona}. */
const personas = {
  normal: {},
  refuse: { refuse: 'miner is not considering online storage deals' },
  slow: { answerDelayMs: 2_000, fetchBytesPerSecond: 8 * 1024 * 1024 },
  hang: { hang: true },
  drop: { dropConnections: 1, dropOutOf: 2 },
  // Curio's ask at its first start, its smallest piece of 16 GiB scaled to a devnet's pieces; eight deals or 5 minutes.
  curio: {
    software: 'curio',
    askPrice: 45_211_226_852n,
    askVerifiedPrice: 0n,
    askMinPieceBytes: 1_048_576n,
    publishBatchEpochs: 3,
  },
  loseAnswers: { loseAnswers: true },
  halveAnswers: { halveAnswers: true },
  takeDuplicates: { takeDuplicates: true },
  neverFetch: { neverFetch: true },
  trickle: { fetchBytesPerSecond: 16 * 1024 },
  mistakeCommP: { mistakeCommP: true },
  publishLate: { publishDelayEpochs: 100 },
  publishElapsed: { publishDelayEpochs: 50_000, publishElapsed: true },
  changeTerms: { changeTerms: true },
  neverProve: { neverProve: true },
  lieDealId: { lieDealId: true },
} satisfies Record<string, PersonaPatch>;

export type PersonaName = keyof typeof personas;

export function personaNames(): PersonaName[] {
  return Object.keys(personas) as PersonaName[];
}

export function personaOf(choice: PersonaName | PersonaPatch): Persona {
  return { ...defaultPersona, ...(typeof choice === 'string' ? personas[choice] : choice) };
}

/** Reads a patch from JSON: unknown knobs and wrong kinds are errors; money and piece sizes may be decimal text. */
export function parsePersonaPatch(json: unknown): PersonaPatch {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new TypeError('a provider fault is an object of knobs, such as {"hang":true}');
  }
  return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, parseKnob(name, value)]));
}

function parseKnob(name: string, value: unknown): string | number | bigint | boolean {
  if (!Object.hasOwn(defaultPersona, name)) {
    throw new TypeError(`no provider knob is called ${name}; there are ${Object.keys(defaultPersona).join(', ')}`);
  }
  if (name === 'software') return parseSoftware(value);
  const usual: unknown = defaultPersona[name as keyof Persona];
  if (typeof usual === 'bigint') return parseAmount(name, value);
  if (typeof usual === 'number' && typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  if (typeof usual === 'string' && typeof value === 'string') return value;
  if (typeof usual === 'boolean' && typeof value === 'boolean') return value;
  throw new TypeError(`provider knob ${name} takes a ${typeof usual === 'number' ? 'whole number ≥ 0' : typeof usual}`);
}

function parseSoftware(value: unknown): Software {
  const software = SOFTWARE.find((known) => known === value);
  if (software === undefined) throw new TypeError(`provider knob software is one of ${SOFTWARE.join(', ')}`);
  return software;
}

function parseAmount(name: string, value: unknown): bigint {
  const isWhole = typeof value === 'bigint' || Number.isSafeInteger(value);
  if ((isWhole || typeof value === 'string') && /^\d+$/.test(String(value))) return BigInt(String(value));
  throw new TypeError(`provider knob ${name} takes a whole number ≥ 0, as a number or as decimal text`);
}
