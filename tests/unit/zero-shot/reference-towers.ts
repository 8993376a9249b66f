/** The zero-shot towers in plain TypeScript, double precision: what the ONNX graphs must compute. */
import type { MusicLayout, VideoLayout } from '../../../model/features.ts'
import type { ZeroShotParameters } from '../../../model/zero-shot.ts'
import type { FeatureSequence } from '../../../ports/encoder.ts'

export function referenceMusic(
  parameters: ZeroShotParameters,
  layout: MusicLayout,
  { values, segments, dims }: FeatureSequence,
): { whole: number[]; segments: number[][] } {
  const { blocks, tagTexts, textDims, meaningWeight } = parameters
  const rows = Array.from({ length: segments }, (_, n) =>
    [...values.subarray(n * dims, (n + 1) * dims)].slice(layout.tags.start, layout.tags.start + layout.tags.size),
  )
  const place = (tags: number[]) => {
    const heard = unit(perBlock(tags, blocks, (block) => unit(block)))
    const meant = unit(times(tags, tagTexts, textDims))
    return unit([...heard, ...meant.map((value) => meaningWeight * value)])
  }
  return { whole: place(mean(rows)), segments: rows.map(place) }
}

export function referenceQuery(
  parameters: ZeroShotParameters,
  layout: VideoLayout,
  { video, text, weights }: { video?: FeatureSequence; text?: Float32Array; weights: readonly [number, number] },
): number[] {
  const { blocks, textDims, tagTextMean, meaningWeight, leastSaid, classTags, classTexts } = parameters
  const tagCount = blocks.reduce((sum, size) => sum + size, 0)
  const nothing = new Array<number>(tagCount + textDims).fill(0)
  const join = (tags: number[], meaning: number[]) => [...tags, ...meaning.map((value) => meaningWeight * value)]

  const words = () => {
    const said = unit(textTags(parameters, text!, tagCount), leastSaid)
    const meant = unit([...text!].map((value, i) => value - tagTextMean[i]!))
    return unit(join(said, meant), Math.hypot(1, meaningWeight))
  }
  const pictures = () => {
    const classes = mean(likeliestClasses(parameters, layout, video!))
    return unit(join(unit(times(classes, classTags, tagCount)), unit(times(classes, classTexts, textDims))))
  }
  const fromText = text === undefined ? nothing : words()
  const fromVideo = video === undefined ? nothing : pictures()
  return unit(fromText.map((value, i) => weights[0] * value + weights[1] * fromVideo[i]!))
}

function textTags(parameters: ZeroShotParameters, text: Float32Array, dims: number): number[] {
  const { phrases, phrasesPerTag, textDims, temperature, nullCosine, blocks } = parameters
  const scores = Array.from({ length: dims }, (_, tag) => {
    const cosines = Array.from({ length: phrasesPerTag }, (_, k) => {
      const at = (tag * phrasesPerTag + k) * textDims
      return [...text].reduce((sum, value, i) => sum + value * phrases[at + i]!, 0)
    })
    return (Math.max(...cosines) - nullCosine) / temperature
  })
  return perBlock(scores, blocks, (block) => {
    const total = block.reduce((sum, score) => sum + Math.exp(score), 1)
    return block.map((score) => Math.exp(score) / total)
  })
}

function likeliestClasses(
  { topClasses }: ZeroShotParameters,
  { classes }: VideoLayout,
  { values, segments, dims }: FeatureSequence,
): number[][] {
  return Array.from({ length: segments }, (_, n) => {
    const chances = [...values.subarray(n * dims + classes.start, n * dims + classes.start + classes.size)]
    const best = chances.map((chance, index) => ({ chance, index })).sort((a, b) => b.chance - a.chance)
    const top = best.slice(0, topClasses)
    const total = top.reduce((sum, { chance }) => sum + chance, 0)
    return chances.map((chance, index) => (top.some((other) => other.index === index) ? chance / total : 0))
  })
}

/** (rows) · (rows, dims) → (dims) */
function times(row: number[], matrix: Float32Array, dims: number): number[] {
  return Array.from({ length: dims }, (_, i) => row.reduce((sum, value, r) => sum + value * matrix[r * dims + i]!, 0))
}

function perBlock(values: number[], blocks: readonly number[], change: (block: number[]) => number[]): number[] {
  const starts = blocks.map((_, block) => blocks.slice(0, block).reduce((sum, size) => sum + size, 0))
  return blocks.flatMap((size, block) => change(values.slice(starts[block], starts[block]! + size)))
}

function mean(rows: number[][]): number[] {
  return rows[0]!.map((_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / rows.length)
}

function unit(values: number[], least = 1e-6): number[] {
  const length = Math.max(Math.hypot(...values), least)
  return values.map((value) => value / length)
}
