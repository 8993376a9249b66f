import { createHash } from 'node:crypto'
import type { Pairs, RaggedSequences } from './pairs.ts'

/** @returns the sha256 of all that training and evaluation see of pairs, in their order. */
export function pairsFingerprint({ count, video, music, texts, videoIds, trackIds, artists, weights }: Pairs): string {
  const hash = createHash('sha256')
  const add = (name: string, values: ArrayBufferView) => {
    hash.update(`${name} ${values.byteLength}\n`)
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }
  const addSequences = (name: string, { values, offsets }: RaggedSequences) => {
    add(`${name}.offsets`, offsets)
    add(`${name}.values`, values)
  }
  hash.update(JSON.stringify({ count, videoIds, trackIds, artists, video: video.dims, music: music.dims }))
  addSequences('video', video)
  addSequences('music', music)
  add('weights', weights)
  if (texts !== undefined) {
    hash.update(JSON.stringify([texts.strings, texts.dims, texts.variants]))
    add('texts.vectors', texts.vectors)
    add('texts.rows', texts.rows)
  }
  return hash.digest('hex')
}
