import { createCipheriv, createHash } from 'node:crypto';

/** One file of a sample. `content` starts over at each call, so a file of any size is never held whole. */
export interface SampleFile {
  /** Path below the sample's root, with `/` between folders. */
  path: string;
  content: () => Iterable<Uint8Array>;
}

/** Cipher work per step: large enough to be fast, small enough to be nothing in memory. */
const STREAM_CHUNK_BYTES = 256 * 1024;

const WORDS = (
  'amber anchor archive atlas autumn beacon birch border bridge canvas carbon cedar chapter cinder circle cobalt copper ' +
  'coral cotton crater delta desert drift ember engine fable falcon fathom ferry field flint forest garden glacier ' +
  'granite harbor hazel heron horizon index island ivory jasper juniper kernel lantern ledger linen lumen maple marble ' +
  'meadow mercury mirror mosaic nectar north oasis ocean olive onyx opal orbit orchard paper pebble pepper pilot plain ' +
  'prairie quartz quiver raven record reef ribbon river saddle saffron sector signal silver slate sonnet spruce stone ' +
  'summit tally tempo thicket timber topaz tundra umber valley vellum velvet vessel violet walnut willow winter zephyr'
).split(' ');

/**
 * Bytes without any pattern, the same for the same seed and label on every machine: an AES-CTR key stream, because
 * that runs at memory speed.
 */
export function* randomStream(seed: string, label: string, totalBytes: number): Generator<Uint8Array> {
  const key = createHash('sha256').update(`${seed}\n${label}`).digest();
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16));
  const zeros = new Uint8Array(STREAM_CHUNK_BYTES);
  for (let made = 0; made < totalBytes; made += STREAM_CHUNK_BYTES) {
    yield cipher.update(zeros.subarray(0, Math.min(STREAM_CHUNK_BYTES, totalBytes - made)));
  }
}

/** {@link randomStream} in one piece; for small sizes. */
export function randomBytes(seed: string, label: string, length: number): Uint8Array {
  return Buffer.concat([...randomStream(seed, label, length)]);
}

/** Sentences and paragraphs of about `length` bytes. */
export function prose(seed: string, label: string, length: number): string {
  const random = randomBytes(seed, label, Math.ceil(length / 4) + 16);
  let text = '';
  for (let i = 0; text.length < length; i += 1) {
    const at = i % random.length;
    const word = WORDS[((random[at] ?? 0) * 256 + (random[(at * 7 + i) % random.length] ?? 0)) % WORDS.length] ?? '';
    const opensSentence = i % 9 === 0;
    text += opensSentence ? word.charAt(0).toUpperCase() + word.slice(1) : word;
    text += i % 9 === 8 ? (i % 45 === 44 ? '.\n\n' : '. ') : ' ';
  }
  return text;
}

/** A 24-bit BMP: a colour gradient with noise, like a photograph to a hasher. */
export function bitmap(seed: string, label: string, size: { width: number; height: number }): Uint8Array {
  const rowBytes = Math.ceil((size.width * 3) / 4) * 4;
  const image = Buffer.alloc(54 + rowBytes * size.height);
  image.write('BM', 0, 'latin1');
  image.writeUInt32LE(image.length, 2);
  image.writeUInt32LE(54, 10);
  image.writeUInt32LE(40, 14);
  image.writeInt32LE(size.width, 18);
  image.writeInt32LE(size.height, 22);
  image.writeUInt16LE(1, 26);
  image.writeUInt16LE(24, 28);
  image.writeUInt32LE(rowBytes * size.height, 34);
  const noise = randomBytes(seed, label, rowBytes * size.height);
  for (let i = 54; i < image.length; i += 1) {
    const at = i - 54;
    const gradient = (Math.floor(at / rowBytes) + (at % rowBytes)) & 0xff;
    image[i] = (gradient + ((noise[at] ?? 0) & 0x1f)) & 0xff;
  }
  return image;
}

/** A mono 16-bit WAV: two sine tones that the seed chooses. */
export function sound(seed: string, label: string, seconds: number): Uint8Array {
  const rate = 22_050;
  const samples = Math.round(rate * seconds);
  const wav = Buffer.alloc(44 + samples * 2);
  wav.write('RIFF', 0, 'latin1');
  wav.writeUInt32LE(36 + samples * 2, 4);
  wav.write('WAVEfmt ', 8, 'latin1');
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(rate, 24);
  wav.writeUInt32LE(rate * 2, 28);
  wav.writeUInt16LE(2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write('data', 36, 'latin1');
  wav.writeUInt32LE(samples * 2, 40);
  // Triangle waves, because Math.sin may differ in its last bit from one machine to another.
  const [low = 0, high = 0] = randomBytes(seed, label, 2);
  for (let i = 0; i < samples; i += 1) {
    const tone = triangle(i, 60 + low) + triangle(i, 20 + (high >> 2));
    wav.writeInt16LE(tone * 12_000 - 12_000, 44 + i * 2);
  }
  return wav;
}

/** 0 to 1 and back within `period` steps, in whole steps so that every machine computes the same. */
function triangle(at: number, period: number): number {
  const phase = at % period;
  return Math.floor((phase < period / 2 ? phase : period - phase) * 2) / period;
}

/** A drawing of circles. */
export function drawing(seed: string, label: string, circles: number): string {
  const random = randomBytes(seed, label, circles * 6);
  const shapes = Array.from({ length: circles }, (_, i) => {
    const [x = 0, y = 0, r = 0, ...rgb] = random.subarray(i * 6, i * 6 + 6);
    return `<circle cx="${x * 4}" cy="${y * 4}" r="${r % 64}" fill="rgb(${rgb.join(',')})"/>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1024 1024">\n${shapes.join('\n')}\n</svg>\n`;
}

/** A table of made-up readings as CSV. */
export function table(seed: string, label: string, rows: number): string {
  const random = randomBytes(seed, label, rows * 4);
  const lines = Array.from({ length: rows }, (_, i) => {
    const [station = 0, a = 0, b = 0, c = 0] = random.subarray(i * 4, i * 4 + 4);
    return `${i},station-${station % 24},${(a / 8).toFixed(2)},${(b * 256 + c) % 1013}`;
  });
  return `row,station,temperature,pressure\n${lines.join('\n')}\n`;
}
