/**
 * Between typed values and the bytes on a topic: the Confluent wire format, 0x00 · schema id (int32, big endian) · Avro.
 * A record written with an earlier schema is read through Avro's schema resolution.
 *
 *   [no fault]  a registry that is away or refuses us is no fault of the record: OutageError, the record waits
 */
import avro from 'avsc'
import { InvalidRecordError, OutageError, SetupError } from '../ports/errors.ts'
import type { AvroSchema, SchemaRegistry } from '../ports/schema-registry.ts'
import type { Topic } from '../topics/topic.ts'

export interface Codec {
  /** Registers the topic's schema on first use. @throws TypeError naming the field that does not fit; OutageError */
  encode<T>(topic: Topic<string, T>, value: T): Promise<Uint8Array>
  /** @throws InvalidRecordError 'undecodable' | 'unknown-schema'; RetryableError 'unknown-schema'; OutageError */
  decode<T>(topic: Topic<string, T>, bytes: Uint8Array): Promise<T>
}

const MAGIC = 0
const HEADER_BYTES = 5
const SCRATCH_BYTES = 64 * 1024

export function createCodec(registry: SchemaRegistry): Codec {
  /** Most records are written here first, for their length is known only then. */
  const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  const types = new Map<AvroSchema, avro.Type>()
  const writerIds = new Map<string, Promise<number>>()
  /** By what is read, and the id of what was written. */
  const resolvers = new Map<avro.Type, Map<number, Promise<avro.Resolver>>>()

  function typeOf(schema: AvroSchema): avro.Type {
    let type = types.get(schema)
    if (type === undefined) {
      type = avro.Type.forSchema(schema as unknown as avro.Schema)
      types.set(schema, type)
      resolvers.set(type, new Map())
    }
    return type
  }

  /** @returns the record behind room for the header. */
  function written(type: avro.Type, value: unknown): Buffer {
    const end = type.encode(value, scratch, HEADER_BYTES)
    const bytes = end < 0 ? Buffer.allocUnsafeSlow(SCRATCH_BYTES - end) : Buffer.allocUnsafe(end) // −end: what was missing
    if (end < 0) type.encode(value, bytes, HEADER_BYTES)
    else scratch.copy(bytes, 0, 0, end)
    return bytes
  }

  /** Caches what succeeds; a failure is asked again next time. */
  function remember<K, T>(cache: Map<K, Promise<T>>, key: K, load: () => Promise<T>): Promise<T> {
    let pending = cache.get(key)
    if (pending === undefined) {
      pending = load()
      cache.set(key, pending)
      pending.catch(() => cache.delete(key))
    }
    return pending
  }

  async function loadResolver(topic: Topic, reader: avro.Type, id: number): Promise<avro.Resolver> {
    const schema = await waitable(registry.schemaById(id))
    try {
      return reader.createResolver(avro.Type.forSchema(schema as unknown as avro.Schema))
    } catch (cause) {
      throw new InvalidRecordError('undecodable', `Schema ${id} cannot be read as ${topic.name}: ${reason(cause)}`, {
        cause,
      })
    }
  }

  return {
    async encode(topic, value) {
      const type = typeOf(topic.schema)
      const id = await remember(writerIds, topic.name, () => waitable(registry.register(topic.subject, topic.schema)))
      if (!type.isValid(value)) {
        throw new TypeError(`A record for ${topic.name} does not fit its schema: ${problemsOf(type, value)}`)
      }
      const bytes = written(type, value)
      bytes.writeUInt8(MAGIC, 0)
      bytes.writeInt32BE(id, 1)
      return bytes
    },

    async decode(topic, bytes) {
      const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      if (buffer.length < HEADER_BYTES || buffer[0] !== MAGIC) {
        throw new InvalidRecordError('undecodable', `A record on ${topic.name} does not begin with a schema id`)
      }
      const id = buffer.readInt32BE(1)
      const type = typeOf(topic.readSchema ?? topic.schema)
      const resolver = await remember(resolvers.get(type)!, id, () => loadResolver(topic as Topic, type, id))
      try {
        const { value, offset } = type.decode(buffer, HEADER_BYTES, resolver)
        if (offset !== buffer.length) throw new RangeError(offset < 0 ? 'it is cut off' : 'something follows it')
        return value
      } catch (cause) {
        throw new InvalidRecordError(
          'undecodable',
          `A record on ${topic.name} is not Avro of schema ${id}: ${reason(cause)}`,
          {
            cause,
          },
        )
      }
    },
  }
}

/** What an operator must set right holds records up; it spoils none of them. [no fault] */
async function waitable<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof SetupError) throw new OutageError(error.code, error.message, { cause: error })
    throw error
  }
}

function problemsOf(type: avro.Type, value: unknown): string {
  const problems: string[] = []
  type.isValid(value, { errorHook: (path, any) => problems.push(`${path.join('.')} = ${preview(any)}`) })
  return problems.slice(0, 5).join('; ')
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

function preview(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}
