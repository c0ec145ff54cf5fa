/** A JSON object whose members are looked at one by one. */
export interface JsonObject {
  readonly [name: string]: unknown;
}

/** The value as JSON has it, without what TypeBox hides in its schemas; empty where it is no object. */
export function asObject(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null ? JSON.parse(JSON.stringify(value)) : {};
}
