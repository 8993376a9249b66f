/**
 * The two served graphs of a release, emitted by the functions that it was trained by (viml.ts). A release is one model, or
 * several side by side in one space, so that one index ranks by their ensemble (McKee et al. 2023, §4). Of ViML and MT, whose
 * own vectors are y and z, with MT's share a:
 *
 *     music        [ √(1−a)·y_m  ; √a·z_m ]     query · music = (1−a)·s(y_vt, y_m) + a·s(z_t, z_m)
 *     both         [ √(1−a)·y_vt ; √a·z_t ]     the paper's query
 *     video alone  [ y_v∅        ; 0      ]     ViML, with x_NULL for words
 *     words alone  [ 0           ; z_t    ]     MT
 *
 * The weights of words and video lean a query from the video alone (−1) past both (0) to the words alone (1):
 *
 *     lean = 2·w_t / (w_t + w_v) − 1
 *     query = unit( relu(−lean)·video alone + (1−|lean|)·both + relu(lean)·words alone )
 *
 * A release of one model answers each with what it has; ViML takes the mean of the training videos where there is none.
 *
 * The graphs' inputs and outputs are those of any release's towers (zero-shot.ts).
 *   [absent]  A side of weight 0, a video whose mask is empty, and padding reach no output, whatever their values.
 *   [first]   Of a sequence longer than a model reads, it reads the first `encoder.segments`. Padding stands at the end.
 */
import type { GraphValue } from './graph-gradients.ts'
import { TensorGraph } from './graph-nodes.ts'
import { GraphOps } from './graph-ops.ts'
import type { Parameters, Shape } from './ops.ts'
import { meanInput, queryVectors, type Sequences, sequenceVector, type VimlConfig } from './viml.ts'

export interface ReleaseModel {
  readonly config: VimlConfig
  readonly parameters: Parameters
  /** In the score, above 0; those of a release sum to 1. */
  readonly share: number
}

/** A model and what writes its part of a graph. */
interface Member extends ReleaseModel {
  readonly ops: GraphOps
}

export function releaseMusicTower(models: readonly ReleaseModel[]): Uint8Array {
  const graph = new TensorGraph('viml-music')
  const width = commonWidth(models, 'music')
  const members = membersOf(graph, models)
  const { ops } = members[0]!
  const features = ops.input('features', ['batch', 'segments', width])
  const mask = ops.input('mask', ['batch', 'segments'])
  const placed = (sequences: Sequences<GraphValue>) =>
    sideBySide(members, (member) => {
      const vector = sequenceVector(member.ops, member.config, 'music', readable(graph, member, 'music', sequences))
      return ops.affine(vector, scaleOf(member, members))
    })

  ops.output('whole', placed({ features, mask }))
  const single = { features: ops.reshape(features, [-1, 1, width]), mask: ops.reshape(mask, [-1, 1]) }
  const rows = ops.multiply(placed(single), single.mask) // (B·S, D); a segment is a sequence of its own, padding is zero
  const shape = graph.node('Concat', [graph.node('Shape', [mask.name]), graph.ints([jointDims(models)])], { axis: 0 })
  graph.output('segments', graph.node('Reshape', [rows.name, shape]), [...mask.shape, jointDims(models)])
  return graph.toModel()
}

/** @param xNull the text encoder's vector of "", (d_t,). */
export function releaseQueryTower(models: readonly ReleaseModel[], xNull: Float32Array): Uint8Array {
  const graph = new TensorGraph('viml-query')
  const textWidth = commonWidth(models, 'text')
  const members = membersOf(graph, models)
  const { ops } = members[0]!
  const features = ops.input('video', ['batch', 'segments', commonWidth(models, 'video')])
  const mask = ops.input('video_mask', ['batch', 'segments'])
  const text = ops.input('text', ['batch', textWidth])
  const weights = ops.input('weights', ['batch', 2])

  const { wordsWeigh, videoWeighs, leans } = leansOf(graph, weights, mask)
  const video = { features, mask: ops.multiply(mask, videoWeighs) } // [absent]
  const nothing = graph.initializer('x_null', [1, textWidth], xNull)
  const words = graphValue(graph.node('Where', [wordsWeigh, text.name, nothing]), text.shape) // [absent]
  const noWords = graphValue(graph.node('Expand', [nothing, graph.node('Shape', [text.name])]), text.shape)

  const alone = answeringAlone(members)
  const query = sideBySide(members, (member) => {
    const given = readable(graph, member, 'video', video)
    const leaning = (vector: GraphValue, lean: GraphValue, among: readonly Member[]) =>
      ops.multiply(ops.affine(vector, scaleOf(member, among)), lean)
    const seesAlone = alone.video.includes(member)
    const texts = seesAlone ? [words, noWords] : [words]
    const [asked, unasked] = queryVectors(member.ops, member.config, given, texts)
    let sum = leaning(asked!, leans.both, members)
    if (seesAlone) sum = ops.add(sum, leaning(unasked!, leans.video, alone.video))
    if (alone.words.includes(member)) sum = ops.add(sum, leaning(asked!, leans.words, alone.words))
    return sum
  })
  ops.output('vector', ops.normalise(query))
  return graph.toModel()
}

/** D, of the joint space. */
export function jointDims(models: readonly Pick<ReleaseModel, 'config'>[]): number {
  return models.reduce((sum, { config }) => sum + config.dims, 0)
}

/**
 * Shares of video alone, both and words alone in each query, (B, 1), and which sides weigh at all: the words as booleans,
 * the video, whose mask must not be empty, as 0 and 1.
 */
function leansOf(graph: TensorGraph, weights: GraphValue, videoMask: GraphValue) {
  const column = (name: string) => graphValue(name, ['batch', 1])
  const [wordsWeight, videoWeight] = graph.nodeWithOutputs('Split', [weights.name, graph.ints([1, 1])], 2, { axis: 1 })
  const hasVideo = graph.node('And', [
    isPositive(graph, videoWeight!),
    isPositive(graph, graph.rowSums(videoMask.name)),
  ])
  const videoWeighs = graph.node('Cast', [hasVideo], { to: FLOAT })
  const total = graph.plus(wordsWeight!, graph.times(videoWeight!, videoWeighs))
  const shareOfWords = graph.over(wordsWeight!, graph.node('Max', [total, graph.scalar(LEAST_WEIGHT)]))
  const lean = graph.minus(graph.times(shareOfWords, 2), 1)
  return {
    wordsWeigh: isPositive(graph, wordsWeight!),
    videoWeighs: column(videoWeighs),
    leans: {
      video: column(graph.node('Relu', [graph.node('Neg', [lean])])),
      both: column(graph.minus(1, graph.node('Abs', [lean]))),
      words: column(graph.node('Relu', [lean])),
    },
  }
}

/** A sequence as a model can read it. [absent] [first] Where nothing is there, it is one row, the mean. */
function readable(
  graph: TensorGraph,
  { ops, config }: Member,
  modality: 'video' | 'music',
  { features, mask }: Sequences<GraphValue>,
): Sequences<GraphValue> {
  if (config.query === 'text' && modality === 'video') return { features, mask } // it is not read
  const most = config.encoder.kind === 'transformer' ? config.encoder.segments : Number.POSITIVE_INFINITY
  const first = (value: GraphValue) => {
    const segments = value.shape[1]!
    if (most === Number.POSITIVE_INFINITY || (typeof segments === 'number' && segments <= most)) return value
    const bounds = [0, most, 1].map((bound) => graph.ints([bound]))
    return graphValue(graph.node('Slice', [value.name, ...bounds]), value.shape.with(1, `first ${most}`))
  }
  const rows = first(features)
  const rowMask = first(mask)
  const isThere = graph.node('Unsqueeze', [isPositive(graph, rowMask.name), graph.ints([2])])
  const filled = graph.node('Where', [isThere, rows.name, meanInput(ops, modality).name])
  const any = isPositive(graph, graph.rowSums(rowMask.name))
  const zeroAndOne = graph.node('Cast', [graph.ints([0, 1])], { to: FLOAT })
  const onlyFirst = graph.node('OneHot', [graph.ints([0]), graph.sizesAlong([rowMask], 1), zeroAndOne]) // (1, S)
  return {
    features: graphValue(filled, rows.shape),
    mask: graphValue(graph.node('Where', [any, rowMask.name, onlyFirst]), rowMask.shape),
  }
}

/** Those that answer where one side is alone: the ones made for it, else whoever reads it, else all. */
function answeringAlone(members: readonly Member[]): { video: readonly Member[]; words: readonly Member[] } {
  const asking = (...queries: VimlConfig['query'][]) => members.filter(({ config }) => queries.includes(config.query))
  const firstOf = (...choices: readonly (readonly Member[])[]) => choices.find(({ length }) => length > 0) ?? members
  return {
    video: firstOf(asking('video', 'video+text')),
    words: firstOf(asking('text'), asking('video+text')),
  }
}

/** √ of a member's share among some. */
function scaleOf({ share }: Member, among: readonly Member[]): number {
  return Math.sqrt(share / among.reduce((sum, other) => sum + other.share, 0))
}

/** The blocks of the joint space, (B, D). */
function sideBySide(members: readonly Member[], block: (member: Member) => GraphValue): GraphValue {
  return members[0]!.ops.concat(members.map(block), 1)
}

function membersOf(graph: TensorGraph, models: readonly ReleaseModel[]): readonly Member[] {
  return models.map((model, place) => ({
    ...model,
    ops: new GraphOps(graph, model.parameters, 'serving', `${place}.`),
  }))
}

/** @throws RangeError where the models were trained on features of other widths, or there is none. */
function commonWidth(models: readonly ReleaseModel[], modality: keyof VimlConfig['widths']): number {
  const widths = new Set(models.map(({ config }) => config.widths[modality]))
  const [width] = widths
  if (width === undefined || widths.size > 1) {
    throw new RangeError(
      `The models of a release take ${modality} features of the widths [${[...widths]}], not of one.`,
    )
  }
  return width
}

function graphValue(name: string, shape: Shape): GraphValue {
  return { name, shape, wanted: false }
}

function isPositive(graph: TensorGraph, value: string): string {
  return graph.node('Greater', [value, graph.scalar(0)])
}

/** TensorProto.DataType */
const FLOAT = 1
/** Weights that sum to less count as none. */
const LEAST_WEIGHT = 1e-12
