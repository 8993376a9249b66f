/**
 * Makes the zero-shot release from an encoder profile and the vocabulary: answers that make sense before any training.
 *
 *     vocabulary phrases, image class names ──▶ text encoder ──▶ parameters ──▶ two ONNX towers + manifest
 *
 * The same encoders and vocabulary give the same bytes.
 */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { musicLayout, videoLayout } from '../../model/features.ts'
import { jointDims, type ZeroShotParameters, zeroShotMusicTower, zeroShotQueryTower } from '../../model/zero-shot.ts'
import type { TextEncoder } from '../../ports/encoder.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'

export const ZERO_SHOT_RELEASE = 'zero-shot-1'

export interface ZeroShotTag {
  readonly category: string
  readonly tag: string
  readonly phrases: readonly string[]
}

export interface ZeroShotInput {
  /** Where the two towers are written. */
  readonly directory: string
  /** The tags that can be heard, in the order of the tag columns of music features; those of a category side by side. */
  readonly tags: readonly ZeroShotTag[]
  readonly textEncoder: TextEncoder
  readonly image: { readonly id: string; readonly imageDims: number; readonly classNames: readonly string[] }
  readonly music: { readonly id: string; readonly embeddingDims: number }
  /** ISO 8601. */
  readonly createdAt: string
  /** Id of the release. Default ZERO_SHOT_RELEASE. */
  readonly release?: string
  /** How much likeness of meaning counts beside likeness by tags. Default MEANING_WEIGHT. */
  readonly meaningWeight?: number
}

/**
 * Fitted on the descriptions of MusicCaps by the likelihood of their own tag words, 4 aspects a text, over a grid of
 * temperatures and null cosines (docs/evaluation.md): about what a user types. No track was listened to for it.
 */
const TEMPERATURE = 0.042
const NULL_COSINE = 0.606
/** Of 1,000 image class names, which say nothing of music, nine in ten stay below a sixth of this. */
const LEAST_SAID = 0.05
/** Class names lie farther from music words than users' texts do, so they are compared with each other, not with a bar. */
const CLASS_TEMPERATURE = 0.05
/**
 * The spread of the scores of 53 other tracks by tags over that by meaning, in the mean of 13 queries: 0.056 by 0.131,
 * its square root, so that neither part decides alone.
 */
const MEANING_WEIGHT = 0.65
/** Norouzi et al. 2014. */
const TOP_CLASSES = 10
/** A picture says nothing of who sings. */
const UNSEEN_CATEGORIES: readonly string[] = ['vocals']

/** @returns the manifest of the files that it wrote. */
export async function buildZeroShotRelease(input: ZeroShotInput): Promise<ReleaseManifest> {
  const { tags, textEncoder, image, music, directory } = input
  const layouts = {
    music: musicLayout(music.embeddingDims, tags.length),
    video: videoLayout(image.imageDims, image.classNames.length),
  }
  const { meaningWeight = MEANING_WEIGHT } = input
  const parameters = { ...(await zeroShotParameters(tags, image.classNames, textEncoder)), meaningWeight }
  const towers = { query: 'query.onnx', music: 'music.onnx' }
  const contents = [
    { name: towers.query, bytes: zeroShotQueryTower(parameters, layouts.video) },
    { name: towers.music, bytes: zeroShotMusicTower(parameters, layouts.music) },
  ]
  await mkdir(directory, { recursive: true })
  for (const { name, bytes } of contents) await writeFile(path.join(directory, name), bytes)
  return {
    release: input.release ?? ZERO_SHOT_RELEASE,
    model: 'zero-shot',
    dims: jointDims(parameters),
    encoders: {
      video: { id: image.id, dims: layouts.video.dims },
      music: { id: music.id, dims: layouts.music.dims },
      text: { id: textEncoder.id, dims: textEncoder.dims },
    },
    towers,
    files: contents.map(({ name, bytes }) => ({
      name,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      bytes: bytes.byteLength,
    })),
    metrics: {},
    parent: null,
    createdAt: input.createdAt,
  }
}

export async function zeroShotParameters(
  tags: readonly ZeroShotTag[],
  classNames: readonly string[],
  textEncoder: TextEncoder,
): Promise<ZeroShotParameters> {
  const textDims = textEncoder.dims
  const phrasesPerTag = Math.max(...tags.map(({ phrases }) => phrases.length))
  // A tag with fewer phrases repeats its first: the maximum over phrases stays the same.
  const texts = tags.flatMap(({ phrases }) =>
    Array.from({ length: phrasesPerTag }, (_, i) => asMusic(phrases[i] ?? phrases[0]!)),
  )
  const phrases = await encodeAll(texts, textEncoder) // (D·K, textDims)
  const classes = await encodeAll(classNames, textEncoder) // (classes, textDims)
  const blocks = blockSizes(tags.map(({ category }) => category))
  const chances = classTagChances(classes, phrases, { blocks, phrasesPerTag, textDims })
  const tagTexts = await encodeAll(
    tags.map(({ tag }) => asMusic(tag)),
    textEncoder,
  )
  return {
    blocks,
    phrases,
    phrasesPerTag,
    textDims,
    temperature: TEMPERATURE,
    nullCosine: NULL_COSINE,
    leastSaid: LEAST_SAID,
    tagTexts: centred(tagTexts, textDims),
    tagTextMean: Float32Array.from(columnMeans(tagTexts, textDims)),
    meaningWeight: MEANING_WEIGHT,
    classTags: withoutColumns(centred(chances, tags.length), tags.length, (tag) =>
      UNSEEN_CATEGORIES.includes(tags[tag]!.category),
    ),
    classTexts: centred(classes, textDims),
    topClasses: Math.min(TOP_CLASSES, classNames.length),
  }
}

/** A mood or an instrument alone could be said of anything. */
function asMusic(phrase: string): string {
  return /\b(music|song)\b/.test(phrase) ? phrase : `${phrase} music`
}

async function encodeAll(texts: readonly string[], encoder: TextEncoder): Promise<Float32Array> {
  const rows = new Float32Array(texts.length * encoder.dims)
  const batch = 32
  for (let start = 0; start < texts.length; start += batch) {
    rows.set(await encoder.encode(texts.slice(start, start + batch)), start * encoder.dims)
  }
  return rows
}

function blockSizes(categories: readonly string[]): number[] {
  const sizes = new Map<string, number>()
  categories.forEach((category, i) => {
    if (i > 0 && categories[i - 1] !== category && sizes.has(category)) {
      throw new RangeError(`The tags of category "${category}" do not stand side by side.`)
    }
    sizes.set(category, (sizes.get(category) ?? 0) + 1)
  })
  return [...sizes.values()]
}

/** @returns (classes, D): in each block the softmax over the class name's cosine with the tags. */
function classTagChances(
  classes: Float32Array,
  phrases: Float32Array,
  { blocks, phrasesPerTag, textDims }: { blocks: readonly number[]; phrasesPerTag: number; textDims: number },
): Float32Array {
  const dims = blocks.reduce((sum, size) => sum + size, 0)
  const count = classes.length / textDims
  const chances = new Float32Array(count * dims)
  for (let row = 0; row < count; row++) {
    const text = classes.subarray(row * textDims, (row + 1) * textDims)
    const powers = Float64Array.from({ length: dims }, (_, tag) => {
      let best = -1
      for (let k = 0; k < phrasesPerTag; k++) {
        const at = (tag * phrasesPerTag + k) * textDims
        let cosine = 0
        for (let i = 0; i < textDims; i++) cosine += text[i]! * phrases[at + i]!
        best = Math.max(best, cosine)
      }
      return Math.exp(best / CLASS_TEMPERATURE)
    })
    let start = 0
    for (const size of blocks) {
      const total = powers.subarray(start, start + size).reduce((sum, power) => sum + power, 0)
      for (let tag = start; tag < start + size; tag++) chances[row * dims + tag] = powers[tag]! / total
      start += size
    }
  }
  return chances
}

/** Takes the mean over the rows off: what all have in common says nothing. */
function centred(rows: Float32Array, dims: number): Float32Array {
  const means = columnMeans(rows, dims)
  return rows.map((value, i) => value - means[i % dims]!)
}

function columnMeans(rows: Float32Array, dims: number): Float64Array {
  const means = new Float64Array(dims)
  rows.forEach((value, i) => {
    means[i % dims]! += (value * dims) / rows.length
  })
  return means
}

function withoutColumns(rows: Float32Array, dims: number, dropped: (column: number) => boolean): Float32Array {
  return rows.map((value, i) => (dropped(i % dims) ? 0 : value))
}
