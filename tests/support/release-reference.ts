/** What the towers of a release must give, by the definitions: in float64, one item at a time, with no padding. */
import type { ReleaseModel } from '../../model/release-towers.ts'
import { queryVector, sequenceVector, type VimlConfig } from '../../model/viml.ts'
import type { FeatureSequence } from '../../ports/encoder.ts'
import { plain } from './ops-check.ts'
import { type Plain, PlainOps } from './plain-ops.ts'

export interface Asked {
  readonly video?: FeatureSequence | undefined
  readonly text?: Float32Array | undefined
  /** 1 and 1 by default. */
  readonly weights?: { readonly text: number; readonly video: number }
}

/** @returns (D,) */
export function expectedTrack(models: readonly ReleaseModel[], features: FeatureSequence): number[] {
  return models.flatMap((model) => {
    const { ops, sequences } = given(model, { music: features })
    return times(Math.sqrt(model.share), sequenceVector(ops, model.config, 'music', sequences('music')).values)
  })
}

/** Of ViML & MT, in this order, or of one model. @returns (D,) unit */
export function expectedQuery(models: readonly ReleaseModel[], xNull: Float32Array, asked: Asked): number[] {
  const weights = asked.weights ?? { text: 1, video: 1 }
  const wordsWeight = asked.text === undefined ? 0 : weights.text
  const videoWeight = asked.video === undefined ? 0 : weights.video
  const lean = (2 * wordsWeight) / (wordsWeight + videoWeight) - 1
  const vectors = models.map((model) => {
    const video = videoWeight === 0 ? undefined : asked.video
    return {
      model,
      asked: vectorOf(model, video, wordsWeight === 0 ? xNull : asked.text!),
      unasked: vectorOf(model, video, xNull),
    }
  })
  const [first, second] = vectors
  const both = vectors.flatMap(({ model, asked }) => times(Math.sqrt(model.share), asked))
  const none = (like: ArrayLike<number>) => new Array<number>(like.length).fill(0)
  const videoAlone = second === undefined ? [...first!.unasked] : [...first!.unasked, ...none(second.asked)]
  const wordsAlone = second === undefined ? both : [...none(first!.asked), ...second.asked]
  const sum = both.map(
    (value, i) =>
      Math.max(0, -lean) * videoAlone[i]! + (1 - Math.abs(lean)) * value + Math.max(0, lean) * wordsAlone[i]!,
  )
  return times(1 / Math.hypot(...sum), sum)
}

function vectorOf(model: ReleaseModel, video: FeatureSequence | undefined, text: Float32Array): Float64Array {
  const { config, parameters } = model
  const mean =
    parameters.get('video.minus-mean')?.values.map((value) => -value) ?? new Float32Array(config.widths.video)
  const seen = video ?? { values: mean, segments: 1, dims: config.widths.video }
  const { ops, sequences } = given(model, { video: seen })
  const words: Plain = { shape: [1, text.length], values: Float64Array.from(text) }
  return queryVector(ops, config, sequences('video'), words).values
}

/** Sequences as far as the model reads them. */
function given({ config, parameters }: ReleaseModel, features: Readonly<Record<string, FeatureSequence>>) {
  const ops = new PlainOps(plain(parameters))
  const sequences = (modality: 'video' | 'music') => {
    const { values, segments, dims } = features[modality]!
    const read = Math.min(segments, mostSegments(config))
    return {
      features: { shape: [1, read, dims], values: Float64Array.from(values.subarray(0, read * dims)) },
      mask: { shape: [1, read], values: new Float64Array(read).fill(1) },
    }
  }
  return { ops, sequences }
}

function mostSegments({ encoder }: VimlConfig): number {
  return encoder.kind === 'transformer' ? encoder.segments : Number.POSITIVE_INFINITY
}

function times(factor: number, values: ArrayLike<number>): number[] {
  return Array.from(values, (value) => factor * value)
}
