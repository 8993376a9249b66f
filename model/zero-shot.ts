/**
 * The towers of the zero-shot release: the joint space is the vocabulary itself, one axis a tag that can be heard.
 *
 *     music   tag confidences ──▶ balanced by category ──▶ unit vector
 *     text    cosine with the tags' phrases ──▶ softmax within each category, with a way out ("says nothing of it") ──▶ unit
 *     video   ten likeliest image classes ──▶ mean of the classes' own tags (ConSE, Norouzi et al. 2014) ──▶ unit
 *     query   text and video, weighted, summed, unit; a text that says nothing of music weighs little
 *
 * A plain sum of text embeddings of tags finds the style and misses the mood, since music words lie close together in a
 * sentence space and style words outnumber mood words. Here each category (instrument, genre, mood, vocals) is a block
 * that a text addresses by its own softmax, and each block of a track has the same length, so no category drowns another.
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
  /** Widths of the categories' blocks of tags, in column order; D is their sum. */
  readonly blocks: readonly number[]
  /** Phrases by tag: (D, phrasesPerTag, textDims), unit rows. */
  readonly phrases: Float32Array
  readonly phrasesPerTag: number
  readonly textDims: number
  /** Of the softmax over the cosines of a block. */
  readonly temperature: number
  /** The cosine at which a text is as likely to say nothing of a block as to mean one of its tags. */
  readonly nullCosine: number
  /** A text whose chances are shorter than this says little of music, and weighs as much less beside a video. */
  readonly leastSaid: number
  /** Tags that go with each image class: (classes, D), the mean over classes taken off. */
  readonly classTags: Float32Array
  readonly topClasses: number
}

/** Shorter vectors are left short rather than blown up to a unit. */
const LEAST_LENGTH = 1e-6

export function zeroShotMusicTower(parameters: ZeroShotParameters, layout: MusicLayout): Uint8Array {
  const graph = new GraphBuilder('zero-shot-music')
  const features = graph.input('features', ['batch', 'segments', layout.dims])
  const mask = graph.input('mask', ['batch', 'segments'])
  const dims = layout.tags.size
  const tags = slice(graph, features, 2, layout.tags) // (B, N, D)
  const mean = maskedMean(graph, tags, mask) // (B, D)
  graph.output('whole', unit(graph, balance(graph, mean, parameters.blocks, 1), 1), ['batch', dims])
  const segments = unit(graph, balance(graph, tags, parameters.blocks, 2), 2)
  const kept = graph.node('Mul', [segments, graph.node('Unsqueeze', [mask, graph.ints([2])])])
  graph.output('segments', kept, ['batch', 'segments', dims])
  return graph.toModel()
}

export function zeroShotQueryTower(parameters: ZeroShotParameters, layout: VideoLayout): Uint8Array {
  const graph = new GraphBuilder('zero-shot-query')
  const video = graph.input('video', ['batch', 'segments', layout.dims])
  const videoMask = graph.input('video_mask', ['batch', 'segments'])
  const text = graph.input('text', ['batch', parameters.textDims])
  const weights = graph.input('weights', ['batch', 2])
  const fromText = unit(graph, textTags(graph, text, parameters), 1, parameters.leastSaid) // (B, D)
  const fromVideo = unit(graph, videoTags(graph, video, videoMask, parameters, layout), 1) // (B, D)
  const sum = graph.node('Add', [
    graph.node('Mul', [fromText, slice(graph, weights, 1, { start: 0, size: 1 })]),
    graph.node('Mul', [fromVideo, slice(graph, weights, 1, { start: 1, size: 1 })]),
  ])
  graph.output('vector', unit(graph, sum, 1), ['batch', sumOf(parameters.blocks)])
  return graph.toModel()
}

/** (B, textDims) → (B, D): in each block the softmax over its tags and the way out, which is then dropped. */
function textTags(graph: GraphBuilder, text: string, parameters: ZeroShotParameters): string {
  const { blocks, phrasesPerTag, textDims, temperature, nullCosine } = parameters
  const dims = sumOf(blocks)
  const phrases = graph.initializer(
    'phrases',
    [textDims, dims * phrasesPerTag],
    transpose(parameters.phrases, dims * phrasesPerTag, textDims),
  )
  const cosines = graph.node('MatMul', [text, phrases]) // (B, D·K)
  const byTag = graph.node('Reshape', [cosines, graph.ints([-1, dims, phrasesPerTag])])
  const best = graph.node('ReduceMax', [byTag], { axes: [2], keepdims: 0 }) // (B, D)
  const scores = graph.node('Mul', [graph.node('Sub', [best, graph.scalar(nullCosine)]), graph.scalar(1 / temperature)])
  const parts = splitBlocks(graph, scores, blocks, 1).map((block, index) => {
    // The way out stands at score 0: a softmax over [block, 0] with its last column dropped.
    const padded = graph.node('Pad', [block, graph.ints([0, 0, 0, 1]), graph.scalar(0)])
    const chances = graph.node('Softmax', [padded], { axis: 1 })
    return slice(graph, chances, 1, { start: 0, size: blocks[index]! })
  })
  return graph.node('Concat', parts, { axis: 1 })
}

/** (B, N, dims) → (B, D): of each segment the likeliest classes' tags by their probabilities, then the mean. */
function videoTags(
  graph: GraphBuilder,
  video: string,
  mask: string,
  parameters: ZeroShotParameters,
  layout: VideoLayout,
): string {
  const { classTags, topClasses, blocks } = parameters
  const chances = slice(graph, video, 2, layout.classes) // (B, N, C)
  const [top] = graph.nodeWithOutputs('TopK', [chances, graph.ints([topClasses])], 2, { axis: 2 })
  const least = graph.node('ReduceMin', [top!], { axes: [2], keepdims: 1 }) // (B, N, 1)
  const likely = graph.node('Where', [graph.node('GreaterOrEqual', [chances, least]), chances, graph.scalar(0)])
  const total = graph.node('Max', [
    graph.node('ReduceSum', [likely, graph.ints([2])], { keepdims: 1 }),
    graph.scalar(LEAST_LENGTH),
  ])
  const tags = graph.initializer('class_tags', [layout.classes.size, sumOf(blocks)], classTags)
  const bySegment = graph.node('MatMul', [graph.node('Div', [likely, total]), tags]) // (B, N, D)
  return maskedMean(graph, bySegment, mask)
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
