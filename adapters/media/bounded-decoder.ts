/** Lets so many decodings run at a time; the others wait their turn, first come, first served. */
import pLimit from 'p-limit'
import type { MediaDecoder } from '../../ports/media.ts'

export function boundedDecoder(decoder: MediaDecoder, width: number): MediaDecoder {
  const limit = pLimit(width)
  /** @returns how to give the turn back. */
  const turn = () => new Promise<() => void>((taken) => void limit(() => new Promise<void>((done) => taken(done))))

  async function* inTurn<T>(items: () => AsyncIterable<T>): AsyncGenerator<T> {
    const done = await turn()
    try {
      yield* items()
    } finally {
      done()
    }
  }

  return {
    probe: (path, signal) => decoder.probe(path, signal),
    frames: (path, options) => inTurn(() => decoder.frames(path, options)),
    samples: (path, options) => inTurn(() => decoder.samples(path, options)),
  }
}
