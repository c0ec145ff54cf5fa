/** Bytes or text that break a format; `code` is stable, and the message says what is wrong and where. */
export class FormatError extends Error {
  override readonly name = 'FormatError';
  readonly code: string;
  readonly details: Record<string, string | number>;

  constructor(code: string, message: string, details: Record<string, string | number> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}
