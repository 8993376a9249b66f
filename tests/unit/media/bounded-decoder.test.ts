import assert from 'node:assert/strict'
import { test } from 'node:test'
import { boundedDecoder } from '../../../adapters/media/bounded-decoder.ts'
import type { MediaDecoder } from '../../../ports/media.ts'

/** Counts how many of its streams are open. */
function countingDecoder() {
  const open = { now: 0, most: 0 }
  const decoder: MediaDecoder = {
    probe: async () => ({ durationSeconds: 1, container: 'wav', video: undefined, audio: undefined }),
    async *frames() {},
    async *samples(path) {
      open.most = Math.max(open.most, ++open.now)
      try {
        for (let i = 0; i < 3; i++) {
          await new Promise((resolve) => setImmediate(resolve))
          if (path === 'broken') throw new Error('broken')
          yield Float32Array.of(i)
        }
      } finally {
        open.now--
      }
    },
  }
  return { open, decoder }
}

const options = { sampleRateHz: 16_000, samplesPerChunk: 1 }

async function read(decoder: MediaDecoder, path: string, most = 9): Promise<number> {
  let count = 0
  for await (const _ of decoder.samples(path, options)) if (++count === most) break
  return count
}

test('no more decodings run at a time than allowed, and all of them finish', async () => {
  const { open, decoder } = countingDecoder()
  const bounded = boundedDecoder(decoder, 2)
  const counts = await Promise.all(Array.from({ length: 8 }, (_, i) => read(bounded, `${i}`)))
  assert.deepEqual(counts, Array(8).fill(3))
  assert.equal(open.most, 2)
})

test('a decoding that fails, or whose reader leaves early, gives its turn back', async () => {
  const { open, decoder } = countingDecoder()
  const bounded = boundedDecoder(decoder, 1)
  await assert.rejects(read(bounded, 'broken'), /broken/)
  assert.equal(await read(bounded, 'left early', 1), 1)
  assert.equal(await read(bounded, 'whole'), 3)
  assert.equal(open.now, 0)
})
