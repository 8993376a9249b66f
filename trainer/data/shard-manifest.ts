/** What a folder of shards holds and how far its partition was read. The files are the operator's, and still validated. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { InvalidRecordError } from '../../ports/errors.ts'

const count = z.int().min(0)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)

const rowSchema = z.strictObject({
  id: z.string(),
  bytes: z.int().min(1),
  /** Of the record, Unix epoch, ms. */
  at: count,
  /** Which receipt of the upload it stems from (topics/upload-stamp.ts); null where the record does not say. */
  receivedAt: count.nullable(),
  /** What its upload is; null until uploads.received.v1 has been asked. */
  upload: z.strictObject({ media: z.string(), artist: z.string() }).nullable(),
  /** A later row has its id. */
  replaced: z.literal(true).optional(),
})

const shardSchema = z
  .strictObject({ sha256, rows: z.array(rowSchema).min(1) })
  .refine(({ rows }) => bytesOf(rows) <= MOST_SHARD_BYTES, 'is too large')

const manifestSchema = z.strictObject({
  /** Of the Avro schema that rows are written in. */
  schema: sha256,
  /** Which records of the topic are kept, where not all are. */
  choice: sha256.nullable(),
  /** Offset that is read next. */
  next: count,
  /** The record before it: a topic that was made anew has another one there. */
  last: z.strictObject({ offset: count, at: count }).nullable(),
  shards: z.array(shardSchema),
})

export type ShardRow = z.infer<typeof rowSchema>
export type Shard = z.infer<typeof shardSchema>
export type ShardManifest = z.infer<typeof manifestSchema>

export const FULL_SHARD_BYTES = 32 * 1024 * 1024
/** With the largest record behind it. */
export const MOST_SHARD_BYTES = 64 * 1024 * 1024

export function bytesOf(rows: readonly ShardRow[]): number {
  return rows.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** @returns undefined where there is none. @throws InvalidRecordError 'damaged-shard' */
export async function readManifest(path: string): Promise<ShardManifest | undefined> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw damaged(path, cause.message, cause)
  })
  if (text === undefined) return undefined
  try {
    return manifestSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw damaged(path, 'it is not what a sync writes', cause)
  }
}

export function damaged(path: string, what: string, cause?: unknown): InvalidRecordError {
  return new InvalidRecordError('damaged-shard', `${path} cannot be used: ${what}. The next sync fetches it anew.`, {
    cause,
  })
}
