import { LadingError } from '../../../errors.ts';
import { decodeProof, encodeProof, type InclusionProof } from '../../../filecoin/inclusion-proof.ts';
import type { ObjectStore, StagedObject } from '../../../storage/store.ts';
import { MAX_LISTED_BLOCKS } from '../../bytes/prove.ts';

/**
 * All proofs of an aggregate in one object: each in DAG-CBOR, in the order of seq from 0; an index of 12 bytes a proof
 * (where it begins, 8 bytes, and how long it is, 4 bytes); and 16 bytes that say `LPF1`, how many proofs there are and
 * where the index begins. Numbers are big endian. The same proofs always make the same bytes.
 */
const MAGIC = 0x4c_50_46_31;
const ENTRY_BYTES = 12;
const FOOTER_BYTES = 16;
/** Written at once: proofs of about a kilobyte each would be as many calls of the store. */
const BUFFER_BYTES = 1024 * 1024;
/** A proof has two nodes a level and a little more, and that of a part each of its blocks by name. */
const MAX_PROOF_BYTES = 64 * 1024 + MAX_LISTED_BLOCKS * 128;

/** Writes proofs one after the other. Memory: a megabyte or the longest proof, and 12 bytes a proof. */
export class ProofsWriter {
  readonly #staged: StagedObject;
  #buffered: Uint8Array[] = [];
  #bufferedBytes = 0;
  #index: Buffer;
  #count = 0;
  #offset = 0;

  /** `count`: how many there will be. */
  constructor(staged: StagedObject, count: number) {
    this.#staged = staged;
    this.#index = Buffer.alloc(count * ENTRY_BYTES + FOOTER_BYTES);
  }

  async add(proof: InclusionProof): Promise<void> {
    const encoded = encodeProof(proof);
    const at = this.#count * ENTRY_BYTES;
    this.#index.writeBigUInt64BE(BigInt(this.#offset), at);
    this.#index.writeUInt32BE(encoded.length, at + 8);
    this.#count += 1;
    this.#offset += encoded.length;
    this.#buffered.push(encoded);
    this.#bufferedBytes += encoded.length;
    if (this.#bufferedBytes >= BUFFER_BYTES) await this.#flush();
  }

  /** All are there: the index, and the object is durable. */
  async commit(): Promise<void> {
    await this.#flush();
    const at = this.#count * ENTRY_BYTES;
    if (at + FOOTER_BYTES !== this.#index.length) throw new Error(`${this.#count} proofs are not all of them`);
    this.#index.writeUInt32BE(MAGIC, at);
    this.#index.writeUInt32BE(this.#count, at + 4);
    this.#index.writeBigUInt64BE(BigInt(this.#offset), at + 8);
    await this.#staged.write(this.#index);
    await this.#staged.commit();
  }

  async #flush(): Promise<void> {
    if (this.#bufferedBytes === 0) return;
    await this.#staged.write(Buffer.concat(this.#buffered));
    this.#buffered = [];
    this.#bufferedBytes = 0;
  }
}

/** The proof at this seq. Throws `PROOFS_DAMAGED`, FormatError PROOF_INVALID, and what the store throws. */
export async function readProofAt(store: ObjectStore, key: string, seq: number): Promise<InclusionProof> {
  const sizeBytes = (await store.size(key)) ?? 0;
  if (sizeBytes < FOOTER_BYTES) throw damaged(key);
  const footer = await readBytes(store, key, { offset: sizeBytes - FOOTER_BYTES, length: FOOTER_BYTES });
  const count = footer.readUInt32BE(4);
  const indexOffset = Number(footer.readBigUInt64BE(8));
  const isWhole = footer.readUInt32BE(0) === MAGIC && indexOffset + count * ENTRY_BYTES + FOOTER_BYTES === sizeBytes;
  if (!isWhole || seq >= count) throw damaged(key);
  const entry = await readBytes(store, key, { offset: indexOffset + seq * ENTRY_BYTES, length: ENTRY_BYTES });
  const [offset, length] = [Number(entry.readBigUInt64BE(0)), entry.readUInt32BE(8)];
  if (length > MAX_PROOF_BYTES || offset + length > indexOffset) throw damaged(key);
  return decodeProof(new Uint8Array(await readBytes(store, key, { offset, length })));
}

async function readBytes(store: ObjectStore, key: string, range: { offset: number; length: number }): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.read(key, range.offset, range.length)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function damaged(key: string): LadingError {
  return new LadingError('PROOFS_DAMAGED', `the object ${key} does not hold the proofs that it should`, {
    details: { key },
  });
}
