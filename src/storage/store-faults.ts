import { LadingError } from '../errors.ts';

export function objectMissing(key: string): LadingError {
  return new LadingError('STORE_OBJECT_MISSING', `the store has no object ${key}`, { details: { key } });
}

export function objectShort(key: string, sizeBytes: number, neededBytes: number): LadingError {
  return new LadingError('STORE_OBJECT_SHORT', `object ${key} has ${sizeBytes} bytes where ${neededBytes} are needed`, {
    details: { key, sizeBytes, neededBytes },
  });
}

/** Another object than the one that was staged holds the key. */
export function objectExists(key: string, heldBytes: number, stagedBytes: number): LadingError {
  const message = `the store has another object ${key}, of ${heldBytes} bytes (ours has ${stagedBytes})`;
  return new LadingError('STORE_OBJECT_EXISTS', message, { details: { key, heldBytes, stagedBytes } });
}

export function stageClosed(): LadingError {
  return new LadingError('STORE_STAGE_CLOSED', 'the staged object was committed or aborted before');
}
