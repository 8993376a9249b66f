/** How well what was trained retrieves, model by model, on the evaluation pairs: the table at the end of a run. */
import type { Pairs } from '../../trainer/data/pairs.ts'
import { scoresOf } from '../../trainer/evaluation/model-scores.ts'
import { percent } from '../../trainer/evaluation/report/markdown.ts'
import {
  drawPools,
  evaluateRetrieval,
  namedFigures,
  type RetrievalFigures,
} from '../../trainer/evaluation/retrieval.ts'
import { combine, type Scores } from '../../trainer/evaluation/scores.ts'
import type { OwnVectors } from '../../trainer/release/trainer-vectors.ts'

export interface MeasuredRow {
  readonly label: string
  /** In the manifest's metrics. */
  readonly name: string
  readonly figures: RetrievalFigures
}

export interface Measured {
  readonly pairs: number
  /** N: tracks that each query ranks. */
  readonly pool: number
  readonly rows: readonly MeasuredRow[]
}

/** As the paper has it, where there are as many pairs. */
const POOL = 500

export function measureModels({ viml: y, mt: z }: OwnVectors, a: number, pairs: Pairs): Measured {
  const pool = Math.min(POOL, pairs.count)
  const pools = drawPools(pairs.count, pool)
  const row = (name: string, label: string, scores: Scores): MeasuredRow => ({
    name,
    label,
    figures: evaluateRetrieval(scores, pairs.trackIds, pools).figures,
  })
  const both = scoresOf(y, 'video+text')
  const words = scoresOf(z, 'text')
  return {
    pairs: pairs.count,
    pool,
    rows: [
      row('viml.video', 'ViML, video alone', scoresOf(y, 'video')),
      row('viml.video+text', 'ViML, video and words', both),
      row('mt.text', 'MT, words alone', words),
      row('viml-mt.video+text', `ViML & MT, a = ${a}`, combine(both, words, a)),
    ],
  }
}

export function figureCells({ rows }: Measured): string[][] {
  return [
    ['', 'R@1', 'R@5', 'R@10', 'MedR'],
    ...rows.map(({ label, figures: { recall, medianRank } }) => [
      label,
      ...Object.values(recall).map(percent),
      medianRank.toFixed(1),
    ]),
  ]
}

export function metricsOf({ rows }: Measured): Record<string, number> {
  return Object.fromEntries(rows.flatMap(({ name, figures }) => namedFigures(name, figures)))
}
