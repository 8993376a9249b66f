import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { before, describe, test } from 'node:test'
import { openFileModelStore } from '../../../adapters/model-store/file.ts'
import { loadTowers, type OnnxTowers } from '../../../adapters/onnx/towers.ts'
import { dot } from '../../../model/vector.ts'
import type { FeatureSequence, TextEncoder } from '../../../ports/encoder.ts'
import { InvalidRecordError, ShapeError } from '../../../ports/errors.ts'
import type { ModelStore } from '../../../ports/model-store.ts'
import type { ReleaseManifest } from '../../../ports/release-manifest.ts'
import { buildZeroShotRelease, type ZeroShotInput, zeroShotParameters } from '../../../trainer/zero-shot/build.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const VOCABULARY = ['guitar', 'synth', 'folk', 'techno', 'calm', 'happy', 'choir', 'music', 'forest', 'club', 'cat']

/** Words as axes: two texts are as near as the words of VOCABULARY that they share. */
const wordAxes: TextEncoder = {
  id: 'words@1',
  sha256: '0'.repeat(64),
  dims: VOCABULARY.length,
  async encode(texts) {
    return Float32Array.from(
      texts.flatMap((text) => {
        const row = VOCABULARY.map((word) => (text.includes(word) ? 1 : 0) as number)
        const length = Math.hypot(...row) || 1
        return row.map((value) => value / length)
      }),
    )
  },
}

const TAGS = [
  { category: 'instrument', tag: 'guitar', phrases: ['guitar'] },
  { category: 'instrument', tag: 'synth', phrases: ['synth'] },
  { category: 'genre', tag: 'folk', phrases: ['folk', 'folk forest'] },
  { category: 'genre', tag: 'techno', phrases: ['techno', 'techno club'] },
  { category: 'mood', tag: 'calm', phrases: ['calm'] },
  { category: 'mood', tag: 'happy', phrases: ['happy'] },
  { category: 'vocals', tag: 'choir', phrases: ['choir'] },
]
const CLASSES = ['forest', 'club', 'cat']
const IMAGE_DIMS = 2
const EMBEDDING_DIMS = 3
const DESCRIPTORS = 10

const input = (directory: string): ZeroShotInput => ({
  directory,
  tags: TAGS,
  textEncoder: wordAxes,
  image: { id: 'image@1', imageDims: IMAGE_DIMS, classNames: CLASSES },
  music: { id: 'music@1', embeddingDims: EMBEDDING_DIMS },
  createdAt: '2026-01-01T00:00:00.000Z',
})

function track(...segments: Partial<Record<string, number>>[]): FeatureSequence {
  const rows = segments.flatMap((confidences) => [
    ...new Array<number>(EMBEDDING_DIMS).fill(9),
    ...TAGS.map(({ tag }) => confidences[tag] ?? 0.1),
    ...new Array<number>(DESCRIPTORS).fill(-9),
  ])
  return {
    values: Float32Array.from(rows),
    segments: segments.length,
    dims: EMBEDDING_DIMS + TAGS.length + DESCRIPTORS,
  }
}

function clip(...segments: Partial<Record<string, number>>[]): FeatureSequence {
  const rows = segments.flatMap((chances) => [7, 7, ...CLASSES.map((name) => chances[name] ?? 0)])
  return { values: Float32Array.from(rows), segments: segments.length, dims: IMAGE_DIMS + CLASSES.length }
}

async function words(text: string): Promise<Float32Array> {
  return wordAxes.encode([text])
}

describe('the zero-shot release, built, stored and loaded', () => {
  const folder = temporaryFolder()
  let manifest: ReleaseManifest
  let store: ModelStore
  let towers: OnnxTowers

  before(async () => {
    manifest = await buildZeroShotRelease(input(path.join(folder, 'a')))
    store = openFileModelStore({ folder: path.join(folder, 'store') })
    await store.publish(manifest, path.join(folder, 'a'))
    towers = await loadTowers(store, manifest.release)
  })

  test('the manifest names the widths that the towers take and the hashes of their files', async () => {
    assert.equal(manifest.dims, TAGS.length + wordAxes.dims)
    assert.deepEqual(manifest.encoders.video, { id: 'image@1', dims: IMAGE_DIMS + CLASSES.length })
    assert.deepEqual(manifest.encoders.music, { id: 'music@1', dims: EMBEDDING_DIMS + TAGS.length + DESCRIPTORS })
    for (const { name, sha256, bytes } of manifest.files) {
      const content = await readFile(path.join(folder, 'a', name))
      assert.equal(createHash('sha256').update(content).digest('hex'), sha256)
      assert.equal(content.byteLength, bytes)
    }
  })

  test('the same encoders and vocabulary make the same release', async () => {
    assert.deepEqual(await buildZeroShotRelease(input(path.join(folder, 'b'))), manifest)
  })

  test('words find the track that has what they say, in style and in mood', async () => {
    const tracks = {
      calmFolk: track({ guitar: 0.9, folk: 0.9, calm: 0.9 }),
      happyFolk: track({ guitar: 0.9, folk: 0.9, happy: 0.9 }),
      calmTechno: track({ synth: 0.9, techno: 0.9, calm: 0.9 }),
      happyTechno: track({ synth: 0.9, techno: 0.9, happy: 0.9 }),
    }
    for (const [text, best] of [
      ['calm folk music with guitar', 'calmFolk'],
      ['happy folk music', 'happyFolk'],
      ['calm techno', 'calmTechno'],
      ['happy synth music', 'happyTechno'],
    ] as const) {
      const query = await towers.query({ text: await words(text) })
      const scores = await Promise.all(
        Object.entries(tracks).map(async ([name, features]) => {
          return { name, score: dot(query, (await towers.music(features)).whole) }
        }),
      )
      assert.equal(scores.sort((a, b) => b.score - a.score)[0]!.name, best, text)
    }
  })

  test('pictures of a class find the music whose words are near the class name', async () => {
    const folk = (await towers.music(track({ folk: 0.9 }))).whole
    const techno = (await towers.music(track({ techno: 0.9 }))).whole
    const forest = await towers.query({ video: clip({ forest: 0.8, cat: 0.2 }) })
    const club = await towers.query({ video: clip({ club: 0.9 }, { club: 0.7, cat: 0.3 }) })
    assert.ok(dot(forest, folk) > dot(forest, techno))
    assert.ok(dot(club, techno) > dot(club, folk))
  })

  test('the weights move a query from its words to its pictures', async () => {
    const parts = { text: await words('folk'), video: clip({ club: 1 }) }
    const pictures = await towers.query({ video: parts.video })
    const scores: number[] = []
    for (const video of [0, 0.5, 1, 4]) {
      scores.push(dot(await towers.query({ ...parts, weights: { text: 1, video } }), pictures))
    }
    assert.deepEqual(
      scores,
      scores.toSorted((a, b) => a - b),
    )
    assert.deepEqual(await towers.query({ ...parts, weights: { text: 0, video: 1 } }), pictures)
  })

  test('a track and each of its segments are unit vectors, and a segment has its own tags', async () => {
    const { whole, segments } = await towers.music(track({ calm: 0.9 }, { happy: 0.9 }, { calm: 0.9, choir: 0.9 }))
    assert.equal(segments.length, 3 * towers.dims)
    for (let row = 0; row < 3; row++) {
      const segment = segments.subarray(row * towers.dims, (row + 1) * towers.dims)
      assert.ok(Math.abs(dot(segment, segment) - 1) < 1e-5)
    }
    assert.ok(Math.abs(dot(whole, whole) - 1) < 1e-5)
    assert.ok(segments[4]! > segments[5]!) // calm before happy in the first
    assert.ok(segments[towers.dims + 4]! < segments[towers.dims + 5]!)
  })

  test('what the columns outside its tags hold does not reach the music tower', async () => {
    const features = track({ calm: 0.9 })
    const changed = { ...features, values: features.values.map((value) => (Math.abs(value) > 1 ? value * 2 : value)) }
    assert.deepEqual(await towers.music(changed), await towers.music(features))
  })

  test('a feature sequence of another width, of no segment or with a value that is not finite is refused', async () => {
    const good = track({ calm: 0.9 })
    await assert.rejects(towers.music({ ...good, dims: good.dims - 1 }), ShapeError)
    await assert.rejects(towers.music({ ...good, segments: 2 }), ShapeError)
    await assert.rejects(towers.music({ values: new Float32Array(), segments: 0, dims: good.dims }), ShapeError)
    await assert.rejects(towers.music({ ...good, values: good.values.map(() => Number.NaN) }), ShapeError)
    await assert.rejects(towers.query({ text: new Float32Array(3) }), ShapeError)
    await assert.rejects(
      towers.query({ video: { ...clip({ cat: 1 }), values: clip({ cat: Number.POSITIVE_INFINITY }).values } }),
      ShapeError,
    )
  })

  test('a query of nothing, or whose weights leave nothing, is refused', async () => {
    await assert.rejects(towers.query({}), ShapeError)
    await assert.rejects(towers.query({ text: await words('calm'), weights: { text: 0, video: 1 } }), ShapeError)
    await assert.rejects(towers.query({ text: await words('calm'), weights: { text: -1, video: 1 } }), ShapeError)
  })

  test('a bundle whose files are no towers is refused by its release id', async () => {
    const directory = path.join(folder, 'broken')
    await mkdir(directory)
    const files = []
    for (const name of ['query.onnx', 'music.onnx']) {
      const bytes = Buffer.from('not a model')
      await writeFile(path.join(directory, name), bytes)
      files.push({ name, sha256: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.byteLength })
    }
    await store.publish({ ...manifest, release: 'broken-1', files }, directory)
    await assert.rejects(loadTowers(store, 'broken-1'), (error: unknown) => {
      assert.ok(error instanceof InvalidRecordError)
      assert.equal(error.code, 'unusable-release')
      assert.match(error.message, /broken-1/)
      return true
    })
  })

  test('a bundle with its two towers swapped is refused', async () => {
    const { query, music } = manifest.towers
    await store.publish(
      { ...manifest, release: 'swapped-1', towers: { query: music, music: query } },
      path.join(folder, 'a'),
    )
    await assert.rejects(loadTowers(store, 'swapped-1'), /has no video, video_mask/)
  })

  test('what all image classes have in common is taken off, and none of them speaks of vocals', async () => {
    const { classTags } = await zeroShotParameters(TAGS, CLASSES, wordAxes)
    const column = (tag: number) => CLASSES.map((_, row) => classTags[row * TAGS.length + tag]!)
    for (const tag of TAGS.keys()) {
      assert.ok(Math.abs(column(tag).reduce((sum, value) => sum + value, 0)) < 1e-6, TAGS[tag]!.tag)
    }
    assert.ok(column(2)[0]! > 0.1 && column(2)[1]! < -0.1) // folk: forest, club
    assert.deepEqual(column(6), [0, 0, 0])
  })

  test('a vocabulary whose categories are mixed up is refused', async () => {
    const mixed = [TAGS[0]!, TAGS[2]!, TAGS[1]!]
    await assert.rejects(
      buildZeroShotRelease({ ...input(path.join(folder, 'c')), tags: mixed }),
      /"instrument" do not stand side by side/,
    )
  })
})
