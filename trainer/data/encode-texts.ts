/**
 * Texts through a text encoder, once: the vectors are kept in a file named by the hash of the texts and the encoder, so
 * that a second run reads them. The file is written whole or not at all; one that cannot be read is made anew.
 */
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { TextEncoder } from '../../ports/encoder.ts'
import { CuestreamError } from '../../ports/errors.ts'
import { writeAtomically } from './atomic-file.ts'
import { readNpyFile, writeNpy } from './npy.ts'

/** Texts between two reports of progress. */
const BATCH = 64

export interface EncodeTextsOptions {
  /** Where the vectors are kept; they are not kept if absent. */
  readonly cacheFolder?: string | undefined
  readonly onProgress?: ((done: number, of: number) => void) | undefined
}

/** @returns (texts.length, encoder.dims) row-major. */
export async function encodeTexts(
  texts: readonly string[],
  encoder: TextEncoder,
  { cacheFolder, onProgress }: EncodeTextsOptions = {},
): Promise<Float32Array> {
  const path = cacheFolder === undefined ? undefined : join(cacheFolder, `texts-${cacheKey(texts, encoder)}.npy`)
  const kept = path === undefined ? undefined : await readKept(path, texts.length, encoder.dims)
  if (kept !== undefined) return kept

  const vectors = new Float32Array(texts.length * encoder.dims)
  for (let start = 0; start < texts.length; start += BATCH) {
    const batch = texts.slice(start, start + BATCH)
    vectors.set(await encoder.encode(batch), start * encoder.dims)
    onProgress?.(start + batch.length, texts.length)
  }
  if (path !== undefined) await keep(path, vectors, encoder.dims)
  return vectors
}

function cacheKey(texts: readonly string[], { id, sha256, dims }: TextEncoder): string {
  return createHash('sha256')
    .update(JSON.stringify([id, sha256, dims, texts]))
    .digest('hex')
    .slice(0, 32)
}

async function readKept(path: string, count: number, dims: number): Promise<Float32Array | undefined> {
  try {
    const { shape, values } = await readNpyFile(path)
    return shape.length === 2 && shape[0] === count && shape[1] === dims ? values : undefined
  } catch (error) {
    if (error instanceof CuestreamError) return undefined
    throw error
  }
}

async function keep(path: string, vectors: Float32Array, dims: number): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true })
  await writeAtomically(path, writeNpy({ shape: [vectors.length / dims, dims], values: vectors }))
}
