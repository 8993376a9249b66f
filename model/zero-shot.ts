/**
 * The towers of the zero-shot release. The joint space has two parts, D = tags + textDims wide:
 *
 *             heard tags, one axis a tag that can be heard            meaning, the text encoder's space, less what all tags share
 *     music   confidences ──▶ balanced by category ──▶ unit           sum of the tags' embeddings by confidence ──▶ unit
 *     text    cosine with the tags' phrases ──▶ softmax within        the text's embedding ──▶ unit
 *             each category, with a way out ("says nothing") ──▶ unit
 *     video   ten likeliest image classes ──▶ the classes' own tags   ──▶ the classes' embeddings (ConSE, Norouzi et al. 2014)
 *     query   text and video, each unit, weighted, summed, unit
 *
 * The tags tell apart what a sentence space blurs: music words lie close together there, and style words outnumber mood
 * words. Each category (instrument, genre, mood, vocals) is a block that a text addresses by a softmax of its own, and each
 * block of a track has the same length, so no category drowns another. The meaning knows what the vocabulary has no word
 * for. It weighs so much that both parts spread the scores of tracks alike.
 *
 * Inputs and outputs of the two graphs, which towers of any release share:
 *     music:  features [batch, segments, dims], mask [batch, segments] → whole [batch, D], segments [batch, segments, D]
 *     query:  video [batch, segments, dims], video_mask [batch, segments], text [batch, dims], weights [batch, 2] (text,
 *             video; 0 = absent) → vector [batch, D]
 * A mask is 1 for a segment and 0 for padding. A padded row of `segments` is zero.
 */
import type { MusicLayout, VideoLayout } from './features.ts'
import { GraphBuilder } from './onnx-writer.ts'

export interface ZeroShotParameters {
  /** Widths of the categories' blocks of tags, in column order. */
  readonly blocks: readonly number[]
  /** Phrases by tag: (tags, phrasesPerTag, textDims), unit rows. */
  readonly phrases: Float32Array
  readonly phrasesPerTag: number
  readonly textDims: number
  /** Of the softmax over the cosines of a block. */
  readonly temperature: number
  /** The cosine at which a text is as likely to say nothing of a block as to mean one of its tags. */
  readonly nullCosine: number
  /** A text whose chances are shorter than this says little of music: its part by tags is left as much shorter. */
  readonly leastSaid: number
  /** Embeddings of the tags (tags, textDims), less their mean. */
  readonly tagTexts: Float32Array
  /** That mean, (textDims,). */
  readonly tagTextMean: Float32Array
  /** Length of the part by meaning beside that by tags. */
  readonly meaningWeight: number
  /** Tags that go with each image class: (classes, tags), the mean over classes taken off. */
  readonly classTags: Float32Array
  /** Embeddings of the classes' names (classes, textDims), less their mean. */
  readonly classTexts: Float32Array
  readonly topClasses: number
}

/** Shorter vectors are left short rather than blown up to a unit. */
const LEAST_LENGTH = 1e-6

export function zeroShotMusicTower(parameters: ZeroShotParameters, layout: MusicLayout): Uint8Array {
  const { blocks, textDims, tagTexts } = parameters
  const graph = new GraphBuilder('zero-shot-music')
  const features = graph.input('features', ['batch', 'segments', layout.dims])
  const mask = graph.input('mask', ['batch', 'segments'])
  const embeddings = graph.initializer('tag_texts', [layout.tags.size, textDims], tagTexts)
  const place = (tags: string, axis: number) => {
    const heard = unit(graph, balance(graph, tags, blocks, axis), axis)
    const meant = unit(graph, graph.node('MatMul', [tags, embeddings]), axis)
    return unit(graph, join(graph, heard, meant, axis, parameters), axis)
  }
  const tags = slice(graph, features, 2, layout.tags) // (B, N, tags)
  graph.output('whole', place(maskedMean(graph, tags, mask), 1), ['batch', jointDims(parameters)])
  const kept = graph.node('Mul', [place(tags, 2), graph.node('Unsqueeze', [mask, graph.ints([2])])])
  graph.output('segments', kept, ['batch', 'segments', jointDims(parameters)])
  return graph.toModel()
}

export function zeroShotQueryTower(parameters: ZeroShotParameters, layout: VideoLayout): Uint8Array {
  const { blocks, textDims, tagTextMean, classTags, classTexts, leastSaid } = parameters
  const graph = new GraphBuilder('zero-shot-query')
  const video = graph.input('video', ['batch', 'segments', layout.dims])
  const videoMask = graph.input('video_mask', ['batch', 'segments'])
  const text = graph.input('text', ['batch', textDims])
  const weights = graph.input('weights', ['batch', 2])

  const said = unit(graph, textTags(graph, text, parameters), 1, leastSaid) // (B, tags)
  const mean = graph.initializer('tag_text_mean', [1, textDims], tagTextMean)
  const meant = unit(graph, graph.node('Sub', [text, mean]), 1) // (B, textDims)

  const classes = likeliestClasses(graph, video, parameters, layout) // (B, N, classes)
  const seen = (rows: Float32Array, name: string, dims: number) => {
    const matrix = graph.initializer(name, [layout.classes.size, dims], rows)
    return unit(graph, maskedMean(graph, graph.node('MatMul', [classes, matrix]), videoMask), 1) // (B, dims)
  }
  const fromText = unit(graph, join(graph, said, meant, 1, parameters), 1, fullLength(parameters))
  const fromVideo = unit(
    graph,
    join(graph, seen(classTags, 'class_tags', sumOf(blocks)), seen(classTexts, 'class_texts', textDims), 1, parameters),
    1,
  )
  const sum = graph.node('Add', [
    graph.node('Mul', [fromText, slice(graph, weights, 1, { start: 0, size: 1 })]),
    graph.node('Mul', [fromVideo, slice(graph, weights, 1, { start: 1, size: 1 })]),
  ])
  graph.output('vector', unit(graph, sum, 1), ['batch', jointDims(parameters)])
  return graph.toModel()
}

export function jointDims({ blocks, textDims }: ZeroShotParameters): number {
  return sumOf(blocks) + textDims
}

/** Length of a vector whose two parts are both whole. */
function fullLength({ meaningWeight }: ZeroShotParameters): number {
  return Math.hypot(1, meaningWeight)
}

/** The two parts side by side. */
function join(
  graph: GraphBuilder,
  tags: string,
  meaning: string,
  axis: number,
  { meaningWeight }: ZeroShotParameters,
): string {
  return graph.node('Concat', [tags, graph.node('Mul', [meaning, graph.scalar(meaningWeight)])], { axis })
}

/** (B, textDims) → (B, tags): in each block the softmax over its tags and the way out, which is then dropped. */
function textTags(graph: GraphBuilder, text: string, parameters: ZeroShotParameters): string {
  const { blocks, phrasesPerTag, textDims, temperature, nullCosine } = parameters
  const dims = sumOf(blocks)
  const phrases = graph.initializer(
    'phrases',
    [textDims, dims * phrasesPerTag],
    transpose(parameters.phrases, dims * phrasesPerTag, textDims),
  )
  const cosines = graph.node('MatMul', [text, phrases]) // (B, tags·K)
  const byTag = graph.node('Reshape', [cosines, graph.ints([-1, dims, phrasesPerTag])])
  const best = graph.node('ReduceMax', [byTag], { axes: [2], keepdims: 0 }) // (B, tags)
  const scores = graph.node('Mul', [graph.node('Sub', [best, graph.scalar(nullCosine)]), graph.scalar(1 / temperature)])
  const parts = splitBlocks(graph, scores, blocks, 1).map((block, index) => {
    // The way out stands at score 0: a softmax over [block, 0] with its last column dropped.
    const padded = graph.node('Pad', [block, graph.ints([0, 0, 0, 1]), graph.scalar(0)])
    const chances = graph.node('Softmax', [padded], { axis: 1 })
    return slice(graph, chances, 1, { start: 0, size: blocks[index]! })
  })
  return graph.node('Concat', parts, { axis: 1 })
}

/** (B, N, dims) → (B, N, classes): the chances of each segment's likeliest classes, as shares of 1; 0 for the others. */
function likeliestClasses(
  graph: GraphBuilder,
  video: string,
  { topClasses }: ZeroShotParameters,
  layout: VideoLayout,
): string {
  const chances = slice(graph, video, 2, layout.classes)
  const [top] = graph.nodeWithOutputs('TopK', [chances, graph.ints([topClasses])], 2, { axis: 2 })
  const least = graph.node('ReduceMin', [top!], { axes: [2], keepdims: 1 }) // (B, N, 1)
  const likely = graph.node('Where', [graph.node('GreaterOrEqual', [chances, least]), chances, graph.scalar(0)])
  const total = graph.node('ReduceSum', [likely, graph.ints([2])], { keepdims: 1 })
  return graph.node('Div', [likely, graph.node('Max', [total, graph.scalar(LEAST_LENGTH)])])
}

/** Scales each block of the last axis to length 1, so that every category counts the same. */
function balance(graph: GraphBuilder, tags: string, blocks: readonly number[], axis: number): string {
  return graph.node(
    'Concat',
    splitBlocks(graph, tags, blocks, axis).map((block) => unit(graph, block, axis)),
    { axis },
  )
}

function splitBlocks(graph: GraphBuilder, value: string, blocks: readonly number[], axis: number): readonly string[] {
  return graph.nodeWithOutputs('Split', [value, graph.ints(blocks)], blocks.length, { axis })
}

function unit(graph: GraphBuilder, value: string, axis: number, least = LEAST_LENGTH): string {
  const length = graph.node('ReduceL2', [value], { axes: [axis], keepdims: 1 })
  return graph.node('Div', [value, graph.node('Max', [length, graph.scalar(least)])])
}

/** (B, N, D), (B, N) → (B, D): the mean over the rows that the mask keeps; zero where it keeps none. */
function maskedMean(graph: GraphBuilder, rows: string, mask: string): string {
  const kept = graph.node('Mul', [rows, graph.node('Unsqueeze', [mask, graph.ints([2])])])
  const sum = graph.node('ReduceSum', [kept, graph.ints([1])], { keepdims: 0 })
  const count = graph.node('ReduceSum', [mask, graph.ints([1])], { keepdims: 1 })
  return graph.node('Div', [sum, graph.node('Max', [count, graph.scalar(1)])])
}

function slice(
  graph: GraphBuilder,
  value: string,
  axis: number,
  { start, size }: { start: number; size: number },
): string {
  return graph.node('Slice', [value, graph.ints([start]), graph.ints([start + size]), graph.ints([axis])])
}

function transpose(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(matrix.length)
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = matrix[r * columns + c]!
  return out
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}
