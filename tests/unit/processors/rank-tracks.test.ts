import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { openCatalogue } from '../../../adapters/embedded/catalogue.ts'
import { openVectorIndex } from '../../../adapters/embedded/vector-index.ts'
import { unit, weightedSum } from '../../../model/vector.ts'
import type { Catalogue } from '../../../ports/catalogue.ts'
import type { ReleaseTowers, TextEncoder } from '../../../ports/encoder.ts'
import { ShapeError } from '../../../ports/errors.ts'
import type { VectorIndex } from '../../../ports/vector-index.ts'
import { type RankedPage, rankTracks } from '../../../processors/answer-recommendations/rank-tracks.ts'
import type { RecommendationRequested } from '../../../schemas/types.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const PICTURES = Float32Array.of(1, 0)
const WORDS = Float32Array.of(0, 1)

/** Towers that add up what they are given, and refuse a sum of nothing as those of a release do. */
const towers: ReleaseTowers = {
  release: 'r1',
  dims: 2,
  encoders: { video: 'video@1', music: 'music@1', text: 'text@1' },
  async query({ video, text, weights = { text: 1, video: 1 } }) {
    const parts = [
      { vector: text ?? WORDS, weight: text ? weights.text : 0 },
      { vector: video?.values ?? PICTURES, weight: video ? weights.video : 0 },
    ]
    if (parts.every(({ weight }) => weight === 0)) throw new ShapeError('nothing weighs')
    return unit(weightedSum(parts))
  },
  music: () => assert.fail('no track is embedded here'),
}
const textEncoder: TextEncoder = { id: 'text@1', sha256: 'ab', dims: 2, encode: async () => WORDS }

describe('ranking', () => {
  const folder = temporaryFolder()
  let [index, catalogue] = [] as unknown as [VectorIndex, Catalogue]

  before(async () => {
    index = await openVectorIndex({ folder: join(folder, 'index') })
    catalogue = openCatalogue({ folder: join(folder, 'catalogue') })
    const name = { release: 'r1', kind: 'music' } as const
    await index.create(name, 2)
    await index.upsert(name, [
      { id: 'like-the-pictures', vector: PICTURES, attributes: {} },
      { id: 'like-the-words', vector: WORDS, attributes: {} },
    ])
    const shape = { segments: 1, dims: 2, segmentSeconds: 10, durationSeconds: 10 }
    await catalogue.putVideo('v1', { features: { encoderId: 'video@1', values: PICTURES, ...shape } })
  })
  after(() => Promise.all([index.close(), catalogue.close()]))

  async function first(asked: Partial<RecommendationRequested>): Promise<string | undefined> {
    const request: RecommendationRequested = {
      requestId: 'q1',
      videoId: null,
      text: null,
      excludeText: null,
      likeTrackId: null,
      weights: { text: 1, video: 1 },
      filters: [],
      limit: 1,
      cursor: null,
      explain: true,
      requestedAt: 0,
      ...asked,
    }
    const page: RankedPage = await rankTracks(request, {
      index,
      catalogue,
      textEncoder,
      currentTowers: async () => towers,
    })
    return page.results[0]?.trackId
  }

  test('words alone are answered though all the weight is on the pictures, and the other way round', async () => {
    assert.equal(await first({ text: 'calm', weights: { text: 0, video: 2 } }), 'like-the-words')
    assert.equal(await first({ videoId: 'v1', weights: { text: 2, video: 0 } }), 'like-the-pictures')
  })

  test('of a video and words the heavier decides', async () => {
    const both = { videoId: 'v1', text: 'calm' }
    assert.equal(await first({ ...both, weights: { text: 0, video: 1 } }), 'like-the-pictures')
    assert.equal(await first({ ...both, weights: { text: 1, video: 0.1 } }), 'like-the-words')
  })
})
