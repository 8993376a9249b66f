/**
 * The vectors that a release of ViML & MT must give, from the trainer's own graphs and plain arithmetic: what its exported
 * towers are held against. The space is that of model/release-towers.ts, at weights of 1 and 1.
 */
import type { Pairs } from '../data/pairs.ts'
import { modelVectors, type PairVectors } from '../evaluation/model-scores.ts'
import type { Ask, TowerVectors } from '../evaluation/tower-vectors.ts'
import type { VimlReleaseInput } from './build.ts'

export type VectorsByAsk = Partial<Record<Ask, TowerVectors>>

/** Of ViML and MT, each in its own space. */
export interface OwnVectors {
  readonly viml: PairVectors
  readonly mt: PairVectors
}

export async function ownVectors(
  { viml, mt }: Pick<VimlReleaseInput, 'viml' | 'mt'>,
  pairs: Pairs,
  { threads }: { readonly threads: number },
): Promise<OwnVectors> {
  return { viml: await modelVectors(viml, pairs, { threads }), mt: await modelVectors(mt, pairs, { threads }) }
}

/** @param a MT's share. @returns what each way to ask gives; without texts the video alone. */
export function trainerVectors({ viml: y, mt: z }: OwnVectors, a: number, pairs: Pairs): VectorsByAsk {
  const joined = (first: Block, second: Block) => sideBySide([first, second], pairs.count)
  const none = (dims: number): Block => ({ rows: new Float32Array(pairs.count * dims), dims, scale: 0 })
  const ofViml = (rows: Float32Array, scale: number): Block => ({ rows, dims: y.dims, scale })
  const ofMt = (rows: Float32Array, scale: number): Block => ({ rows, dims: z.dims, scale })

  const tracks = joined(ofViml(y.tracks, Math.sqrt(1 - a)), ofMt(z.tracks, Math.sqrt(a)))
  const dims = y.dims + z.dims
  const video = joined(ofViml(y.queries.get('video')!, 1), none(z.dims))
  if (pairs.texts === undefined) return { video: { queries: video, tracks, dims } }
  const words = z.queries.get('text')!
  const both = joined(ofViml(y.queries.get('video+text')!, Math.sqrt(1 - a)), ofMt(words, Math.sqrt(a)))
  return {
    video: { queries: video, tracks, dims },
    'video+text': { queries: both, tracks, dims },
    text: { queries: joined(none(y.dims), ofMt(words, 1)), tracks, dims },
  }
}

/** Rows (n, dims), each value times `scale`. */
interface Block {
  readonly rows: Float32Array
  readonly dims: number
  readonly scale: number
}

/** @returns (n, sum of dims) */
function sideBySide(blocks: readonly Block[], count: number): Float32Array {
  const width = blocks.reduce((sum, { dims }) => sum + dims, 0)
  const joined = new Float32Array(count * width)
  let column = 0
  for (const { rows, dims, scale } of blocks) {
    for (let i = 0; i < rows.length; i++) joined[Math.floor(i / dims) * width + column + (i % dims)] = scale * rows[i]!
    column += dims
  }
  return joined
}
