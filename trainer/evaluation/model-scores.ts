/**
 * The vectors of a trained model for pairs, through the graph of its towers: what its scores are made of. Pairs go in the
 * same batches each time, so the same parameters give the same bytes.
 */
import type { Parameters } from '../../model/ops.ts'
import type { VimlConfig } from '../../model/viml.ts'
import { featureInputs } from '../batches.ts'
import { type Pairs, textVectorOf } from '../data/pairs.ts'
import { evaluationSession } from '../graph/training-session.ts'
import { towersGraph } from '../graphs.ts'
import { mostSegments } from '../train-config.ts'
import { dotScores, type Scores } from './scores.ts'
import type { Ask } from './tower-vectors.ts'

/** Unit rows, row-major; pair i is query i and track i. */
export interface PairVectors {
  readonly dims: number
  /** (n, dims) by what is asked with. */
  readonly queries: ReadonlyMap<Ask, Float32Array>
  /** (n, dims). */
  readonly tracks: Float32Array
}

/** Ways to ask that a model was made for; 'video' of ViML is with x_NULL for words. */
export function asksOf({ query }: Pick<VimlConfig, 'query'>): readonly Ask[] {
  return query === 'video+text' ? ['video', 'video+text'] : [query]
}

/**
 * Of sequences longer than the model reads, the first segments count.
 * @param asks of `asksOf`, all by default. Words are the first variant of each text.
 */
export async function modelVectors(
  { model, parameters }: { readonly model: VimlConfig; readonly parameters: Parameters },
  pairs: Pairs,
  { threads, asks = asksOf(model), batch = 256 }: { threads: number; asks?: readonly Ask[]; batch?: number },
): Promise<PairVectors> {
  const { bytes, inputs } = towersGraph(model, parameters)
  const session = await evaluationSession(bytes, { threads })
  const { dims } = model
  const queries = new Map(asks.map((ask) => [ask, new Float32Array(pairs.count * dims)]))
  const tracks = new Float32Array(pairs.count * dims)
  try {
    for (let start = 0; start < pairs.count; start += batch) {
      const chosen = Array.from({ length: Math.min(batch, pairs.count - start) }, (_, i) => start + i)
      for (const [ask, rows] of queries) {
        const { texts } = pairs
        const textOf = (pair: number) =>
          texts === undefined || ask === 'video' ? undefined : textVectorOf(texts, pair)
        const given = featureInputs(pairs, chosen, textOf, { most: mostSegments(model) })
        // Tracks are the same however they are asked for.
        const wanted = ask === asks[0] ? ['query', 'track'] : ['query']
        const outputs = await session.run(new Map(inputs.map((name) => [name, given.get(name)!])), wanted)
        rows.set(outputs.get('query')!.values, start * dims)
        const own = outputs.get('track')
        if (own !== undefined) tracks.set(own.values, start * dims)
      }
    }
  } finally {
    await session.dispose()
  }
  return { dims, queries, tracks }
}

/** @throws RangeError where it was not asked. */
export function scoresOf({ dims, queries, tracks }: PairVectors, ask: Ask): Scores {
  const rows = queries.get(ask)
  if (rows === undefined) throw new RangeError(`There are no vectors of ${ask}, only of ${[...queries.keys()]}.`)
  return dotScores(rows, tracks, dims)
}
