/** The zero-shot towers in plain TypeScript, double precision: what the ONNX graphs must compute. */
import type { MusicLayout, VideoLayout } from '../../../model/features.ts'
import type { ZeroShotParameters } from '../../../model/zero-shot.ts'
import type { FeatureSequence } from '../../../ports/encoder.ts'

export function referenceMusic(
  { blocks }: ZeroShotParameters,
  layout: MusicLayout,
  { values, segments, dims }: FeatureSequence,
): { whole: number[]; segments: number[][] } {
  const rows = Array.from({ length: segments }, (_, n) =>
    [...values.subarray(n * dims, (n + 1) * dims)].slice(layout.tags.start, layout.tags.start + layout.tags.size),
  )
  const balanced = (tags: number[]) => unit(perBlock(tags, blocks, (block) => unit(block)))
  return { whole: balanced(mean(rows)), segments: rows.map(balanced) }
}

export function referenceQuery(
  parameters: ZeroShotParameters,
  layout: VideoLayout,
  { video, text, weights }: { video?: FeatureSequence; text?: Float32Array; weights: readonly [number, number] },
): number[] {
  const dims = parameters.blocks.reduce((sum, size) => sum + size, 0)
  const nothing = new Array<number>(dims).fill(0)
  const words = text === undefined ? nothing : unit(textTags(parameters, text, dims), parameters.leastSaid)
  const pictures = video === undefined ? nothing : unit(videoTags(parameters, layout, video, dims))
  return unit(words.map((value, i) => weights[0] * value + weights[1] * pictures[i]!))
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

function videoTags(
  { classTags, topClasses }: ZeroShotParameters,
  { classes }: VideoLayout,
  { values, segments, dims }: FeatureSequence,
  tagCount: number,
): number[] {
  const rows = Array.from({ length: segments }, (_, n) => {
    const chances = [...values.subarray(n * dims + classes.start, n * dims + classes.start + classes.size)]
    const best = chances.map((chance, index) => ({ chance, index })).sort((a, b) => b.chance - a.chance)
    const top = best.slice(0, topClasses)
    const total = top.reduce((sum, { chance }) => sum + chance, 0)
    return Array.from({ length: tagCount }, (_, tag) =>
      top.reduce((sum, { chance, index }) => sum + (chance / total) * classTags[index * tagCount + tag]!, 0),
    )
  })
  return mean(rows)
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
