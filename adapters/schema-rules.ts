/** What every schema registry asks of a schema, with the words that its refusal needs. */
import { SetupError } from '../ports/errors.ts'
import type { AvroSchema } from '../ports/schema-registry.ts'
import { canonicalForm, checkBackward } from '../schemas/compatibility.ts'

/** @throws SetupError 'invalid-schema' when it is no Avro schema. */
export function canonicalFormOf(subject: string, schema: AvroSchema): string {
  try {
    return canonicalForm(schema)
  } catch (cause) {
    throw new SetupError('invalid-schema', `the schema for ${subject} is no Avro schema: ${(cause as Error).message}`, {
      cause,
    })
  }
}

/** @param versions earlier first. @throws SetupError 'incompatible-schema' naming the version and the field. */
export function assertReadsAll(subject: string, schema: AvroSchema, versions: readonly AvroSchema[]): void {
  const problem = checkBackward(schema, versions)
  if (problem === undefined) return
  const where = problem.path === '' ? '' : ` at ${problem.path}`
  throw new SetupError(
    'incompatible-schema',
    `the new schema of ${subject} cannot read version ${problem.version}${where}: ${problem.reason}; ` +
      'add optional fields only, or define a new version of the topic',
  )
}
