/** Whether a schema reads what earlier ones wrote (Avro schema resolution, checked by avsc's own resolvers). */
import avro from 'avsc'

export interface Incompatibility {
  /** Of the earlier schema that it cannot read, from 1. */
  readonly version: number
  /** Where in the record, such as `tempo.bpm` or `tags[].confidence`; empty where the whole is meant. */
  readonly path: string
  readonly reason: string
}

/**
 * BACKWARD_TRANSITIVE: the new schema must read everything that any earlier one wrote.
 *
 * @param earlier earlier versions, first one first. @throws Error when a schema is no Avro schema.
 */
export function checkBackward(newSchema: object, earlier: readonly object[]): Incompatibility | undefined {
  const reader = parse(newSchema)
  for (const [index, schema] of earlier.entries()) {
    const mismatch = firstMismatch(reader, parse(schema), '')
    if (mismatch !== undefined) return { version: index + 1, ...mismatch }
  }
  return undefined
}

/** Equal for schemas that mean the same, whatever their key order and docs. @throws Error when it is no Avro schema. */
export function canonicalForm(schema: object): string {
  return JSON.stringify(withoutDocs(parse(schema).schema({ exportAttrs: true })))
}

/** A default is data: a `doc` in it stays. */
function withoutDocs(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutDocs)
  if (typeof schema !== 'object' || schema === null) return schema
  const entries = Object.entries(schema).filter(([name]) => name !== 'doc')
  return Object.fromEntries(entries.map(([name, part]) => [name, name === 'default' ? part : withoutDocs(part)]))
}

function parse(schema: object): avro.Type {
  return avro.Type.forSchema(schema as avro.Schema)
}

/** The resolver tells that two types differ; this finds the deepest place where they do. */
function firstMismatch(
  reader: avro.Type,
  writer: avro.Type,
  path: string,
): Omit<Incompatibility, 'version'> | undefined {
  const reason = resolverError(reader, writer)
  if (reason === undefined) return undefined
  return mismatchInside(reader, writer, path) ?? { path, reason }
}

function mismatchInside(reader: avro.Type, writer: avro.Type, path: string) {
  const { types } = avro
  if (reader instanceof types.ArrayType && writer instanceof types.ArrayType) {
    return firstMismatch(reader.itemsType, writer.itemsType, `${path}[]`)
  }
  if (reader instanceof types.MapType && writer instanceof types.MapType) {
    return firstMismatch(reader.valuesType, writer.valuesType, `${path}{}`)
  }
  if (reader instanceof types.EnumType && writer instanceof types.EnumType) {
    const gone = writer.symbols.filter((symbol) => !reader.symbols.includes(symbol))
    return gone.length === 0 ? undefined : { path, reason: `the symbol ${gone[0]} was removed` }
  }
  if (!(reader instanceof types.RecordType && writer instanceof types.RecordType)) return undefined
  for (const field of reader.fields) {
    const at = path === '' ? field.name : `${path}.${field.name}`
    const names = [field.name, ...field.aliases]
    const written = writer.fields.find(({ name }) => names.includes(name))
    if (written !== undefined) {
      const mismatch = firstMismatch(field.type, written.type, at)
      if (mismatch !== undefined) return mismatch
    } else if (field.defaultValue() === undefined) {
      return { path: at, reason: 'the field is new and has no default' }
    }
  }
  return undefined
}

function resolverError(reader: avro.Type, writer: avro.Type): string | undefined {
  try {
    reader.createResolver(writer)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}
