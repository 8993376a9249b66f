/**
 * SchemaRegistry: ids for Avro schemas, with the Confluent wire format (0x00, id as int32 big endian, Avro body).
 *
 * Compatibility is BACKWARD_TRANSITIVE: a new schema reads everything that any earlier one wrote.
 */
export interface AvroSchema {
  readonly [key: string]: unknown
}

export interface SchemaRegistry {
  /** Idempotent. @throws SetupError 'incompatible-schema' naming the subject and the field. */
  register(subject: string, schema: AvroSchema): Promise<number>
  /** @throws InvalidRecordError 'unknown-schema' when no such id exists; RetryableError of that code while one may yet. */
  schemaById(id: number): Promise<AvroSchema>
  /** Earlier versions first. */
  versions(subject: string): Promise<readonly AvroSchema[]>
}
