/** Measures the towers of a release on an operator's pairs, as they are served. */
import { stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { openFileModelStore } from '../../adapters/model-store/file.ts'
import { MANIFEST_FILE } from '../../adapters/model-store/manifest-schema.ts'
import { loadTowers } from '../../adapters/onnx/towers.ts'
import type { ReleaseTowers } from '../../ports/encoder.ts'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { Pairs } from '../../trainer/data/pairs.ts'
import { pairsFromFiles } from '../../trainer/data/pairs-from-files.ts'
import { bootstrap } from '../../trainer/evaluation/bootstrap.ts'
import { intervalText, markdownTable, percent } from '../../trainer/evaluation/report/markdown.ts'
import { drawPools, evaluateRetrieval, sizesThatFit } from '../../trainer/evaluation/retrieval.ts'
import { dotScores, type Scores } from '../../trainer/evaluation/scores.ts'
import { ASKS, type Ask, queryVectors, trackVectors } from '../../trainer/evaluation/tower-vectors.ts'
import { openModelStore } from '../backends.ts'
import type { OpenContext } from '../context.ts'
import { progressBar, say } from '../terminal.ts'
import { openProfile } from './profile.ts'

export interface ReleaseOptions {
  readonly pairs: string
  readonly pool: readonly number[]
}

const ASKED: Readonly<Record<Ask, string>> = {
  video: 'video alone',
  'video+text': 'video + words',
  text: 'words alone',
}

/** @param release id in the model store, or the folder of a bundle, which is named by its id. */
export async function evaluateRelease(open: OpenContext, release: string, options: ReleaseOptions): Promise<void> {
  const { config, logger } = open({ logLevel: 'warn' })
  const asFolder = await stat(join(release, MANIFEST_FILE)).catch(() => undefined)
  const towers =
    asFolder === undefined
      ? await loadTowers(await openModelStore(config, logger), release)
      : await loadTowers(openFileModelStore({ folder: dirname(resolve(release)) }), basename(resolve(release)))
  const profile = await openProfile(config)
  try {
    const { textEncoder } = profile
    if (towers.encoders.text !== textEncoder.id) {
      throw new InvalidRequestError(
        'encoder-mismatch',
        `Release ${towers.release} takes words encoded by ${towers.encoders.text}, and profile ${profile.manifest.id} has ${textEncoder.id}. Name the profile that it was made for: --profile.`,
      )
    }
    await measure(towers, await pairsFromFiles(options.pairs, { textEncoder }), options.pool)
  } finally {
    await profile.dispose()
    await towers.dispose()
  }
}

async function measure(towers: ReleaseTowers, pairs: Pairs, sizes: readonly number[]): Promise<void> {
  const { fit, leftOut } = sizesThatFit(sizes, pairs.count)
  const asks = pairs.texts === undefined ? (['video'] as const) : ASKS
  const bar = progressBar('Vectors', pairs.count * (asks.length + 1))
  let before = 0
  const onProgress = (done: number) => bar.update(before + done, '')
  const tracks = await trackVectors(towers, pairs, onProgress)
  const scores = new Map<Ask, Scores>()
  for (const ask of asks) {
    before += pairs.count
    scores.set(ask, dotScores(await queryVectors(towers, pairs, ask, onProgress), tracks, towers.dims))
  }
  bar.stop()
  for (const size of fit) {
    const pools = drawPools(pairs.count, size)
    const rows = [...scores].map(([ask, of]) => {
      const { pools: ranks, tiedShare } = evaluateRetrieval(of, pairs.trackIds, pools)
      const { recall, medianRank } = bootstrap(ranks)
      return [
        ASKED[ask],
        ...([1, 5, 10] as const).map((k) => intervalText(recall[k])),
        medianRank.value.toFixed(1),
        percent(tiedShare),
      ]
    })
    say(`\n### Release ${towers.release}, N = ${size}, ${pools.length} pools of ${pairs.count} pairs\n`)
    say(markdownTable([['asked with', 'R@1 (95 %)', 'R@5 (95 %)', 'R@10 (95 %)', 'median rank', 'ties'], ...rows]))
  }
  if (leftOut.length > 0)
    say(`\nPools of ${leftOut.join(' and ')} are larger than the ${pairs.count} pairs and were left out.`)
}
