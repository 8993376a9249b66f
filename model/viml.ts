/**
 * ViML (McKee et al., CVPR 2023): videos, words and music in one space, as pure functions over a parameter record.
 *
 *     x_v (B, S, d_v) ─▶ standardise ─▶ projection ─▶ f_v ─▶ y_v (B, D) ─┐
 *     x_t (B, d_t)    ─▶ standardise ─▶ projection ─▶ f_t ─▶ y_t (B, D) ─┴▶ f_vt ─▶ y_vt (B, D)      query
 *     x_m (B, S, d_m) ─▶ standardise ─▶ projection ─▶ f_m ─▶ y_m (B, D)                              music
 *
 * B is the batch, S the segments (padded; masks are 1 where there is one), D = config.dims. Outputs are unit vectors; the
 * score of a query and a track is their dot product. Where no words are given x_t is x_NULL, the encoding of "".
 * The baselines are parts of it: MVPt+ asks with y_v alone, MT with y_t alone (config.query).
 *
 * Depth by encoder: 'transformer' reads a sequence (positions, pre-norm layers, masked attention), 'residual-mlp' one
 * vector, the mean of the segments.
 */
import type { Ops, Parameter, Parameters } from './ops.ts'
import { seededRandom } from './random.ts'

export const MODALITIES = ['video', 'music', 'text'] as const
export type Modality = (typeof MODALITIES)[number]
export type Fusion = 'add' | 'linear' | 'mlp' | 'transformer-1' | 'transformer-2'

export interface VimlConfig {
  /** What a query is made of: 'video+text' is ViML, 'video' MVPt+, 'text' MT. */
  readonly query: 'video+text' | 'video' | 'text'
  /** Widths of the frozen encoders' features. */
  readonly widths: Readonly<Record<Modality, number>>
  /** D, of the joint space. */
  readonly dims: number
  readonly encoder: EncoderConfig
  readonly fusion: Fusion
  /** Inside the layers, and on the standardised inputs. */
  readonly dropout: number
  readonly inputDropout: number
}

export type EncoderConfig =
  | { readonly kind: 'residual-mlp'; readonly layers: number; readonly hidden: number }
  | {
      readonly kind: 'transformer'
      readonly layers: number
      readonly hidden: number
      readonly heads: number
      /** Longest sequence. */
      readonly segments: number
    }

/** A padded batch of sequences: features (B, S, d), mask (B, S). */
export interface Sequences<T> {
  readonly features: T
  readonly mask: T
}

/** Added to the attention score of a segment that is not there. */
const ABSENT = -1e9
/** Deviation of positions at the start (Devlin et al. 2019). */
const POSITION_DEVIATION = 0.02
const FUSION_HEADS = 4

/** @returns y_v or y_m (B, D), unit. */
export function sequenceVector<T>(
  ops: Ops<T>,
  config: VimlConfig,
  modality: 'video' | 'music',
  sequences: Sequences<T>,
): T {
  return ops.normalise(encode(ops, config, modality, sequences))
}

/** @param text (B, d_t). @returns y_t (B, D), unit. */
export function textVector<T>(ops: Ops<T>, config: VimlConfig, text: T): T {
  return ops.normalise(encodeText(ops, config, text))
}

/** @returns the query (B, D), unit: y_vt, or y_v or y_t where the model asks with one side. */
export function queryVector<T>(ops: Ops<T>, config: VimlConfig, video: Sequences<T>, text: T): T {
  return queryVectors(ops, config, video, [text])[0]!
}

/** Queries of one video with each of several texts: the video is encoded once. */
export function queryVectors<T>(ops: Ops<T>, config: VimlConfig, video: Sequences<T>, texts: readonly T[]): T[] {
  if (config.query === 'text') return texts.map((text) => textVector(ops, config, text))
  const seen = encode(ops, config, 'video', video)
  if (config.query === 'video') return texts.map(() => ops.normalise(seen))
  return texts.map((text) => ops.normalise(fuse(ops, config, seen, encodeText(ops, config, text))))
}

function encode<T>(ops: Ops<T>, config: VimlConfig, modality: 'video' | 'music', { features, mask }: Sequences<T>): T {
  const x = projected(ops, config, modality, features) // (B, S, D)
  if (config.encoder.kind === 'residual-mlp') {
    return residualMlp(ops, config, modality, maskedMean(ops, x, mask))
  }
  const { layers, heads } = config.encoder
  const placed = ops.add(x, ops.firstRows(ops.parameter(`${modality}.positions`), x))
  const encoded = transformer(ops, config, modality, placed, { layers, heads, mask })
  return maskedMean(ops, encoded, mask)
}

function encodeText<T>(ops: Ops<T>, config: VimlConfig, text: T): T {
  const x = projected(ops, config, 'text', text) // (B, D)
  if (config.encoder.kind === 'residual-mlp') return residualMlp(ops, config, 'text', x)
  const { layers, heads } = config.encoder
  const { dims } = config
  const sequence = ops.reshape(x, [-1, 1, dims]) // one description is a sequence of one
  return ops.reshape(transformer(ops, config, 'text', sequence, { layers, heads }), [-1, dims])
}

/** f_vt of y_v and y_t, both (B, D). @returns (B, D) */
function fuse<T>(ops: Ops<T>, config: VimlConfig, video: T, text: T): T {
  const { fusion, dims } = config
  if (fusion === 'add') return ops.add(video, text)
  if (fusion === 'linear') return linear(ops, 'fusion', ops.concat([video, text], 1))
  if (fusion === 'mlp') {
    // Beside the sum of its parts, so that it begins as the simplest fusion.
    const hidden = ops.gelu(linear(ops, 'fusion.in', normed(ops, 'fusion', ops.concat([video, text], 1))))
    const change = linear(ops, 'fusion.out', ops.dropout(hidden, config.dropout, 'fusion'))
    return ops.add(ops.add(video, text), change)
  }
  const layers = fusion === 'transformer-1' ? 1 : 2
  const tokens = ops.concat([ops.reshape(video, [-1, 1, dims]), ops.reshape(text, [-1, 1, dims])], 1) // (B, 2, D)
  const placed = ops.add(tokens, ops.parameter('fusion.positions'))
  const mixed = transformer(ops, config, 'fusion', placed, { layers, heads: FUSION_HEADS })
  return ops.reshape(ops.sum(mixed, 1), [-1, dims])
}

/** (x − mean) / deviation by the statistics of the training data, then to D. */
function projected<T>(ops: Ops<T>, config: VimlConfig, modality: Modality, x: T): T {
  const centred = ops.add(x, ops.parameter(`${modality}.minus-mean`))
  const standard = ops.multiply(centred, ops.parameter(`${modality}.scale`))
  return linear(ops, `${modality}.projection`, ops.dropout(standard, config.inputDropout, `${modality}.input`))
}

/** What is 0 once standardised: it stands where there is nothing. @returns (d,) */
export function meanInput<T>(ops: Ops<T>, modality: Modality): T {
  return ops.affine(ops.parameter(`${modality}.minus-mean`), -1)
}

/** x + W₂ gelu(W₁ norm(x)), `layers` times; x (B, D). */
function residualMlp<T>(ops: Ops<T>, config: VimlConfig, name: string, x: T): T {
  let y = x
  for (let layer = 0; layer < config.encoder.layers; layer++) {
    y = ops.add(y, feedForward(ops, config, `${name}.${layer}`, y))
  }
  return y
}

/** Pre-norm layers (Xiong et al. 2020); x (B, S, D), mask (B, S) or none. */
function transformer<T>(
  ops: Ops<T>,
  config: VimlConfig,
  name: string,
  x: T,
  { layers, heads, mask }: { layers: number; heads: number; mask?: T },
): T {
  // (B, 1, 1, S): 0 for a segment that is there.
  const absent = mask === undefined ? undefined : ops.affine(ops.reshape(mask, [0, 1, 1, -1]), -ABSENT, ABSENT)
  let y = x
  for (let layer = 0; layer < layers; layer++) {
    const at = `${name}.${layer}`
    y = ops.add(y, attention(ops, config, at, y, heads, absent))
    y = ops.add(y, feedForward(ops, config, at, y))
  }
  return normed(ops, name, y)
}

function attention<T>(ops: Ops<T>, config: VimlConfig, name: string, x: T, heads: number, absent: T | undefined): T {
  const width = config.dims / heads
  const input = normed(ops, `${name}.attention`, x)
  const split = (part: string, order: readonly number[]) =>
    ops.transpose(ops.reshape(linear(ops, `${name}.${part}`, input), [0, -1, heads, width]), order)
  const query = split('query', [0, 2, 1, 3]) // (B, H, S, D/H)
  const keys = split('key', [0, 2, 3, 1]) // (B, H, D/H, S)
  const values = split('value', [0, 2, 1, 3])
  const scores = ops.affine(ops.matMul(query, keys), 1 / Math.sqrt(width))
  const weights = ops.softmax(absent === undefined ? scores : ops.add(scores, absent)) // (B, H, S, S)
  const mixed = ops.matMul(ops.dropout(weights, config.dropout, `${name}.attention`), values)
  const merged = ops.reshape(ops.transpose(mixed, [0, 2, 1, 3]), [0, -1, config.dims])
  return ops.dropout(linear(ops, `${name}.output`, merged), config.dropout, `${name}.output`)
}

function feedForward<T>(ops: Ops<T>, config: VimlConfig, name: string, x: T): T {
  const hidden = ops.gelu(linear(ops, `${name}.in`, normed(ops, `${name}.mlp`, x)))
  const out = linear(ops, `${name}.out`, ops.dropout(hidden, config.dropout, `${name}.hidden`))
  return ops.dropout(out, config.dropout, `${name}.mlp`)
}

/** Of the segments that are there; x (B, S, D), mask (B, S). @returns (B, D) */
function maskedMean<T>(ops: Ops<T>, x: T, mask: T): T {
  const column = ops.reshape(mask, [0, -1, 1]) // (B, S, 1)
  const mean = ops.divide(ops.sum(ops.multiply(x, column), 1), ops.sum(column, 1)) // (B, 1, D)
  return ops.reshape(mean, [0, -1])
}

function linear<T>(ops: Ops<T>, name: string, x: T): T {
  return ops.add(ops.matMul(x, ops.parameter(`${name}.weight`)), ops.parameter(`${name}.bias`))
}

function normed<T>(ops: Ops<T>, name: string, x: T): T {
  return ops.layerNorm(x, ops.parameter(`${name}.norm.gain`), ops.parameter(`${name}.norm.offset`))
}

/** What the training data standardise their inputs by: (d,) each. */
export interface InputStatistics {
  readonly mean: Float32Array
  readonly deviation: Float32Array
}

/**
 * The parameters of a configuration as training begins with them: the same seed gives the same weights.
 * Matrices are uniform in ±√(3/n) of their n inputs (variance 1/n); what ends a residual branch begins at 0, so that a
 * layer begins as the identity (Zhang et al. 2019).
 */
export function initialParameters(
  config: VimlConfig,
  seed: number,
  statistics: Readonly<Record<Modality, InputStatistics>>,
): Parameters {
  const { dims, widths, encoder, fusion } = config
  const parameters = new Map<string, Parameter>()
  const put = (name: string, shape: readonly number[], values: Float32Array, kind: Partial<Parameter> = {}) => {
    parameters.set(name, { shape, values, trained: true, decays: false, ...kind })
  }
  const matrix = (name: string, from: number, to: number, begins: 'random' | 'zero' = 'random') => {
    const random = seededRandom(`${seed}/${name}`)
    const bound = begins === 'zero' ? 0 : Math.sqrt(3 / from)
    const values = Float32Array.from({ length: from * to }, () => (2 * random() - 1) * bound)
    put(`${name}.weight`, [from, to], values, { decays: true })
    put(`${name}.bias`, [to], new Float32Array(to))
  }
  const norm = (name: string, width: number) => {
    put(`${name}.norm.gain`, [width], new Float32Array(width).fill(1))
    put(`${name}.norm.offset`, [width], new Float32Array(width))
  }
  const positions = (name: string, most: number) => {
    const random = seededRandom(`${seed}/${name}.positions`)
    const bound = POSITION_DEVIATION * Math.sqrt(3)
    put(
      `${name}.positions`,
      [most, dims],
      Float32Array.from({ length: most * dims }, () => (2 * random() - 1) * bound),
    )
  }
  const mlp = (name: string, hidden: number) => {
    norm(`${name}.mlp`, dims)
    matrix(`${name}.in`, dims, hidden)
    matrix(`${name}.out`, hidden, dims, 'zero')
  }
  const layersOf = (name: string, layers: number, hidden: number) => {
    for (let layer = 0; layer < layers; layer++) {
      const at = `${name}.${layer}`
      norm(`${at}.attention`, dims)
      for (const part of ['query', 'key', 'value']) matrix(`${at}.${part}`, dims, dims)
      matrix(`${at}.output`, dims, dims, 'zero')
      mlp(at, hidden)
    }
    norm(name, dims)
  }

  for (const modality of modalitiesOf(config)) {
    const { mean, deviation } = statistics[modality]
    const width = widths[modality]
    put(
      `${modality}.minus-mean`,
      [width],
      mean.map((value) => -value),
      { trained: false },
    )
    put(
      `${modality}.scale`,
      [width],
      deviation.map((value) => 1 / value),
      { trained: false },
    )
    matrix(`${modality}.projection`, width, dims)
    if (encoder.kind === 'residual-mlp') {
      for (let layer = 0; layer < encoder.layers; layer++) mlp(`${modality}.${layer}`, encoder.hidden)
    } else {
      if (modality !== 'text') positions(modality, encoder.segments)
      layersOf(modality, encoder.layers, encoder.hidden)
    }
  }
  if (config.query !== 'video+text') return parameters
  if (fusion === 'linear') matrix('fusion', 2 * dims, dims)
  else if (fusion === 'mlp') {
    norm('fusion', 2 * dims)
    matrix('fusion.in', 2 * dims, encoder.hidden)
    matrix('fusion.out', encoder.hidden, dims, 'zero')
  } else if (fusion !== 'add') {
    positions('fusion', 2)
    layersOf('fusion', fusion === 'transformer-1' ? 1 : 2, encoder.hidden)
  }
  return parameters
}

/** Those that the configuration's query and music towers read. */
export function modalitiesOf({ query }: Pick<VimlConfig, 'query'>): readonly Modality[] {
  return MODALITIES.filter((modality) => modality === 'music' || query.includes(modality))
}
