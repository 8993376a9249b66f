/**
 * What training is stopped early by: the mean of R@1, R@5 and R@10 of the validation pairs, each of which asks once in
 * pools of about 500. A model is asked as it was trained: with words if it was ever given words, without if they were
 * ever left out, and the mean of both where both happened.
 */
import type { Pairs } from '../data/pairs.ts'
import type { TrainOptions } from '../train.ts'
import type { TrainConfig } from '../train-config.ts'
import { asksOf, modelVectors, scoresOf } from './model-scores.ts'
import { evaluateRetrieval, type Pools, type RetrievalFigures } from './retrieval.ts'
import type { Ask } from './tower-vectors.ts'

const POOL = 500

/** @returns higher is better, 0 … 1. */
export function retrievalValidation(
  pairs: Pairs,
  config: Pick<TrainConfig, 'query' | 'textDropout'>,
  threads: number,
): TrainOptions['validate'] {
  const pools = validationPools(pairs.count)
  const asks = asksAsTrained(config)
  return async (parameters, model) => {
    const vectors = await modelVectors({ model, parameters }, pairs, { threads, asks })
    const goodness = asks.map((ask) =>
      meanRecall(evaluateRetrieval(scoresOf(vectors, ask), pairs.trackIds, pools).figures),
    )
    return goodness.reduce((sum, value) => sum + value, 0) / asks.length
  }
}

/** @returns every pair in one pool, as even as can be. */
export function validationPools(count: number): Pools {
  const pools = Math.max(1, Math.round(count / POOL))
  return Array.from({ length: pools }, (_, pool) =>
    Array.from({ length: count }, (_, pair) => pair).filter((pair) => pair % pools === pool),
  )
}

export function meanRecall({ recall }: RetrievalFigures): number {
  return (recall[1] + recall[5] + recall[10]) / 3
}

function asksAsTrained(config: Pick<TrainConfig, 'query' | 'textDropout'>): readonly Ask[] {
  const { query, textDropout } = config
  if (query !== 'video+text') return asksOf(config)
  if (textDropout === 0) return ['video+text']
  return textDropout === 1 ? ['video'] : ['video', 'video+text']
}
