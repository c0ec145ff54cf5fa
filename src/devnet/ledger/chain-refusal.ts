/** The chain will not do what was asked; `code` is stable, the message says why and what to do. */
export class ChainRefusal extends Error {
  override readonly name = 'ChainRefusal';
  readonly code: string;
  readonly details: Record<string, unknown>;

  constructor(code: string, message: string, details: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}
