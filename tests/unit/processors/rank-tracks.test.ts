import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { openCatalogue } from '../../../adapters/embedded/catalogue.ts'
import { openVectorIndex } from '../../../adapters/embedded/vector-index.ts'
import { unit, weightedSum } from '../../../model/vector.ts'
import type { Catalogue } from '../../../ports/catalogue.ts'
import type { ReleaseTowers, TextEncoder } from '../../../ports/encoder.ts'
import { OutageError, ShapeError } from '../../../ports/errors.ts'
import type { VectorIndex } from '../../../ports/vector-index.ts'
import {
  answerRecommendations,
  DEADLINE_HEADER,
} from '../../../processors/answer-recommendations/answer-recommendations.ts'
import { encodeCursor } from '../../../processors/answer-recommendations/cursor.ts'
import { type RankedPage, rankTracks } from '../../../processors/answer-recommendations/rank-tracks.ts'
import { wire } from '../../../runtime/define-processor.ts'
import { createTestDriver } from '../../../runtime/test-driver.ts'
import type { RecommendationRequested } from '../../../schemas/types.ts'
import { recommendationsAnswered, recommendationsRequested } from '../../../topics/topics.ts'
import { query } from '../../support/query.ts'
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

const QUERY = query({ requestId: 'q1', limit: 1, explain: true, requestedAt: 0 })

const assertFilled = async () => {}

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
    return (await rank(asked)).results[0]?.trackId
  }

  async function rank(asked: Partial<RecommendationRequested>, over: VectorIndex = index): Promise<RankedPage> {
    return rankTracks(
      { ...QUERY, ...asked },
      { index: over, catalogue, textEncoder, towersFor: async () => towers, assertFilled },
    )
  }

  test('words alone are answered though all the weight is on the pictures, and the other way round', async () => {
    assert.equal(await first({ text: 'calm', weights: { text: 0, video: 2 } }), 'like-the-words')
    assert.equal(await first({ videoId: 'v1', weights: { text: 2, video: 0 } }), 'like-the-pictures')
  })

  test('a track that is taken down between search and rescoring is left out', async () => {
    const late = Object.create(index, {
      search: {
        value: async (...asked: Parameters<VectorIndex['search']>) => [
          { id: 'taken-down', score: 1 },
          ...(await index.search(...asked)),
        ],
      },
      vectors: { value: (...asked: Parameters<VectorIndex['vectors']>) => index.vectors(...asked) },
      count: { value: (...asked: Parameters<VectorIndex['count']>) => index.count(...asked) },
    })
    const { results } = await rank({ videoId: 'v1', excludeText: 'loud', limit: 5 }, late)
    assert.deepEqual(results.map(({ trackId }) => trackId).sort(), ['like-the-pictures', 'like-the-words'])
  })

  test('every cursor that is given is taken, and the deepest page gives none', async () => {
    const { nextCursor } = await rank({ text: 'calm' })
    assert.deepEqual(
      (await rank({ text: 'calm', cursor: nextCursor })).results.map(({ trackId }) => trackId),
      ['like-the-pictures'],
    )
    const deep = Object.create(index, {
      search: {
        value: async (_name: unknown, _vector: unknown, k: number) =>
          Array.from({ length: k }, (_, i) => ({ id: `t${i}`, score: 1 - i / k })),
      },
      count: { value: async () => 20_000 },
    })
    const last = await rank({ text: 'calm', explain: false, limit: 100, cursor: encodeCursor('r1', 9_750) }, deep)
    assert.equal(last.results.length, 100)
    assert.equal(last.nextCursor, null)
  })

  test('a query that the towers refuse is answered with why, and the asker does not wait for its deadline', async () => {
    const refuse = async () => {
      throw new ShapeError('The video has values that are not finite.')
    }
    const deps = {
      index,
      catalogue,
      textEncoder,
      towersFor: async () => ({ ...towers, query: refuse }),
      assertFilled,
      now: () => 1,
    }
    const request = recommendationsRequested.record('q9', { ...QUERY, requestId: 'q9', text: 'calm' })
    const driver = createTestDriver([wire(answerRecommendations, deps)])
    await driver.pipe(request)
    assert.equal((await driver.records(recommendationsAnswered))[0]?.value?.error?.code, 'bad-shape')
    assert.deepEqual(driver.deadLetters(recommendationsRequested), [])
  })

  test('a request that meets a store that is away, or wiped, is told so at once', async () => {
    const away = async (): Promise<ReleaseTowers> => {
      throw new OutageError('redis-unavailable', 'Redis does not answer')
    }
    const wiped = async () => ({ ...towers, release: 'wiped' })
    const filling = async () => {
      throw new OutageError('index-filling', 'The index is being filled')
    }
    for (const [over, code] of [
      [{ towersFor: away }, 'redis-unavailable'],
      [{ towersFor: wiped }, 'unknown-index'],
      [{ assertFilled: filling }, 'index-filling'],
    ] as const) {
      const usual = { index, catalogue, textEncoder, towersFor: async () => towers, assertFilled, now: () => 1 }
      const deps = { ...usual, ...over }
      const driver = createTestDriver([wire(answerRecommendations, deps)])
      await driver.pipe(recommendationsRequested.record('q10', { ...QUERY, requestId: 'q10', text: 'calm' }))
      assert.equal((await driver.records(recommendationsAnswered))[0]?.value?.error?.code, code)
    }
  })

  test('a request past its deadline is not answered, and one before it is', async () => {
    const usual = { index, catalogue, textEncoder, towersFor: async () => towers, assertFilled, now: () => 1_000 }
    const driver = createTestDriver([wire(answerRecommendations, usual)])
    for (const deadline of ['1000', '1001']) {
      const request = { ...QUERY, requestId: deadline, text: 'calm' }
      await driver.pipe(
        recommendationsRequested.record(deadline, request, { headers: { [DEADLINE_HEADER]: deadline } }),
      )
    }
    assert.deepEqual(
      (await driver.records(recommendationsAnswered)).map(({ key }) => key),
      ['1001'],
    )
  })

  test('of a video and words the heavier decides', async () => {
    const both = { videoId: 'v1', text: 'calm' }
    assert.equal(await first({ ...both, weights: { text: 0, video: 1 } }), 'like-the-pictures')
    assert.equal(await first({ ...both, weights: { text: 1, video: 0.1 } }), 'like-the-words')
  })
})
