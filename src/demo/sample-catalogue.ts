import { bitmap, drawing, prose, randomBytes, randomStream, sound, table, type SampleFile } from './sample-content.ts';

/** What one upload holds. A sample of one file at path '' is packed as that file alone, any other as a directory. */
export interface SampleContents {
  name: string;
  files: SampleFile[];
}

/** The demo shows that nothing is held whole in memory, so one file is larger than any buffer has a right to be. */
export const LARGE_FILE_BYTES = 64 * 1024 * 1024;
/** Enough entries that a directory block is no trifle, few enough to pack in well under a second. */
export const MANY_FILES = 300;

const utf8 = new TextEncoder();

function file(path: string, make: () => string | Uint8Array): SampleFile {
  return {
    path,
    content: () => {
      const made = make();
      return [typeof made === 'string' ? utf8.encode(made) : made];
    },
  };
}

function single(name: string, make: () => string | Uint8Array): SampleContents {
  return { name, files: [file('', make)] };
}

/** An NFT collection as artists send it: images with their metadata beside them. */
function collection(seed: string, name: string, editions: number): SampleContents {
  const files = Array.from({ length: editions }, (_, i) => [
    file(`images/${i}.bmp`, () => bitmap(seed, `${name}/${i}`, { width: 160, height: 120 })),
    file(`metadata/${i}.json`, () => JSON.stringify({ name: `${name} #${i}`, image: `images/${i}.bmp`, edition: i })),
  ]);
  return { name, files: [...files.flat(), file('README.md', () => prose(seed, `${name}/readme`, 900))] };
}

function website(seed: string, name: string): SampleContents {
  const pages = ['index', 'about', 'posts/first', 'posts/second', 'posts/2026/third', 'posts/2026/notes/fourth'];
  const page = (path: string) =>
    `<!doctype html><title>${path}</title><link rel="stylesheet" href="/style.css"><p>${prose(seed, `${name}/${path}`, 4_000)}`;
  return {
    name,
    files: [
      ...pages.map((path) => file(`${path}.html`, () => page(path))),
      file('style.css', () => 'body { max-width: 60ch; margin: auto; font: 1rem/1.5 serif }\n'),
      file('assets/logo.svg', () => drawing(seed, `${name}/logo`, 40)),
      file('assets/photos/cover.bmp', () => bitmap(seed, `${name}/cover`, { width: 320, height: 200 })),
      file('robots.txt', () => ''),
    ],
  };
}

function manyFiles(seed: string, name: string): SampleContents {
  const files = Array.from({ length: MANY_FILES }, (_, i) =>
    file(`${String(i).padStart(4, '0')}.txt`, () => prose(seed, `${name}/${i}`, 120 + ((i * 37) % 800))),
  );
  return { name, files };
}

function deepFolders(seed: string, name: string): SampleContents {
  const files = Array.from({ length: 12 }, (_, depth) =>
    file(`${'level/'.repeat(depth + 1)}note-${depth}.txt`, () => prose(seed, `${name}/${depth}`, 600)),
  );
  return { name, files };
}

/** Names that trip over careless code: spaces, accents, other scripts, an emoji. */
function oddNames(seed: string, name: string): SampleContents {
  const names = ['with space.txt', 'café.txt', 'файл.txt', '写真.txt', '🚀.txt', "it's & <b>.txt", '%2F.txt'];
  return { name, files: names.map((path) => file(path, () => prose(seed, `${name}/${path}`, 300))) };
}

function large(seed: string, name: string): SampleContents {
  return { name, files: [{ path: '', content: () => randomStream(seed, name, LARGE_FILE_BYTES) }] };
}

/** Twenty-four uploads that differ in kind and size, from nothing at all to 64 MiB; about 83 MiB together. */
function basicSamples(seed: string): SampleContents[] {
  return [
    single('greeting.txt', () => `Hello from ${seed}.\n`),
    single('letter.txt', () => prose(seed, 'letter', 12_000)),
    single('picture.bmp', () => bitmap(seed, 'picture', { width: 640, height: 480 })),
    collection(seed, 'pebbles', 12),
    single('drawing.svg', () => drawing(seed, 'drawing', 800)),
    website(seed, 'website'),
    single('readings.csv', () => table(seed, 'readings', 30_000)),
    manyFiles(seed, 'notes'),
    single('tone.wav', () => sound(seed, 'tone', 12)),
    single('empty.txt', () => ''),
    deepFolders(seed, 'deep'),
    single('poster.bmp', () => bitmap(seed, 'poster', { width: 1_280, height: 960 })),
    large(seed, 'video.bin'),
    oddNames(seed, 'odd-names'),
    single('chunk.bin', () => randomBytes(seed, 'chunk', 262_144)),
    single('chunk-and-one.bin', () => randomBytes(seed, 'chunk-and-one', 262_145)),
    collection(seed, 'lanterns', 20),
    single('book.txt', () => prose(seed, 'book', 700_000)),
    single('archive.bin', () => randomBytes(seed, 'archive', 3_300_000)),
    single('config.json', () => JSON.stringify({ seed, list: [...randomBytes(seed, 'config', 64)] }, null, 2)),
    { name: 'twins', files: ['a', 'b'].map((path) => file(`${path}.txt`, () => prose(seed, 'twins', 5_000))) },
    website(seed, 'mirror'),
    single('zeros.bin', () => new Uint8Array(2_500_000)),
    single('panorama.bmp', () => bitmap(seed, 'panorama', { width: 1_600, height: 500 })),
  ];
}

/** The first `count` samples; beyond the basic set, more small collections and texts. */
export function sampleContents(seed: string, count: number): SampleContents[] {
  const basic = basicSamples(seed);
  const more = Array.from({ length: Math.max(0, count - basic.length) }, (_, i) =>
    i % 3 === 0
      ? collection(seed, `series-${i}`, 4 + (i % 5))
      : single(`page-${i}.txt`, () => prose(seed, `page-${i}`, 2_000 + ((i * 7_919) % 60_000))),
  );
  return [...basic, ...more].slice(0, count);
}
