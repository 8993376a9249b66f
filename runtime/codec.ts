/**
 * Between typed values and the bytes on a topic: the Confluent wire format, 0x00 · schema id (int32, big endian) · Avro.
 * A record written with an earlier schema is read through Avro's schema resolution.
 *
 *   [no fault]  a registry that is away or refuses us is no fault of the record: OutageError, the record waits
 */
import avro from 'avsc'
import { InvalidRecordError, OutageError, SetupError } from '../ports/errors.ts'
import type { SchemaRegistry } from '../ports/schema-registry.ts'
import type { Topic } from '../topics/topic.ts'

export interface Codec {
  /** Registers the topic's schema on first use. @throws TypeError naming the field that does not fit; OutageError */
  encode<T>(topic: Topic<string, T>, value: T): Promise<Uint8Array>
  /** @throws InvalidRecordError 'undecodable' | 'unknown-schema'; OutageError */
  decode<T>(topic: Topic<string, T>, bytes: Uint8Array): Promise<T>
}

const MAGIC = 0
const HEADER_BYTES = 5

export function createCodec(registry: SchemaRegistry): Codec {
  const readers = new Map<string, avro.Type>()
  const writerIds = new Map<string, Promise<number>>()
  const resolvers = new Map<string, Promise<{ writer: avro.Type; resolver: avro.Resolver }>>()

  function readerOf(topic: Topic): avro.Type {
    let type = readers.get(topic.name)
    if (type === undefined) {
      type = avro.Type.forSchema(topic.schema as unknown as avro.Schema)
      readers.set(topic.name, type)
    }
    return type
  }

  /** Caches what succeeds; a failure is asked again next time. */
  function remember<T>(cache: Map<string, Promise<T>>, key: string, load: () => Promise<T>): Promise<T> {
    let pending = cache.get(key)
    if (pending === undefined) {
      pending = load()
      cache.set(key, pending)
      pending.catch(() => cache.delete(key))
    }
    return pending
  }

  async function loadResolver(topic: Topic, id: number) {
    const schema = await waitable(registry.schemaById(id))
    try {
      const writer = avro.Type.forSchema(schema as unknown as avro.Schema)
      return { writer, resolver: readerOf(topic).createResolver(writer) }
    } catch (cause) {
      throw new InvalidRecordError('undecodable', `Schema ${id} cannot be read as ${topic.name}: ${reason(cause)}`, {
        cause,
      })
    }
  }

  return {
    async encode(topic, value) {
      const type = readerOf(topic as Topic)
      const id = await remember(writerIds, topic.name, () => waitable(registry.register(topic.subject, topic.schema)))
      const problems: string[] = []
      if (!type.isValid(value, { errorHook: (path, any) => problems.push(`${path.join('.')} = ${preview(any)}`) })) {
        throw new TypeError(`A record for ${topic.name} does not fit its schema: ${problems.slice(0, 5).join('; ')}`)
      }
      const body = type.toBuffer(value)
      const bytes = Buffer.allocUnsafe(HEADER_BYTES + body.length)
      bytes.writeUInt8(MAGIC, 0)
      bytes.writeInt32BE(id, 1)
      body.copy(bytes, HEADER_BYTES)
      return bytes
    },

    async decode(topic, bytes) {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      if (buffer.length < HEADER_BYTES || buffer[0] !== MAGIC) {
        throw new InvalidRecordError('undecodable', `A record on ${topic.name} does not begin with a schema id`)
      }
      const id = buffer.readInt32BE(1)
      const { resolver } = await remember(resolvers, `${topic.name}#${id}`, () => loadResolver(topic as Topic, id))
      try {
        return readerOf(topic as Topic).fromBuffer(buffer.subarray(HEADER_BYTES), resolver)
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

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

function preview(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}
