/**
 * What users notice of a release that is rolled out and rolled back: requests at a steady rate, quiet first, then while
 * everything is embedded anew beside them.
 *
 *     npm run benchmark:release-swap -- [--tracks 3000] [--quiet 5000] [--requests 10000] [--rate 40] [--on embedded|services]
 *
 * Arrivals are a Poisson process, and each answer is measured from when its request was meant to begin. On the embedded
 * engines with the encoders of the embedded profile; on the services with encoders that cost nothing. Prints a table;
 * asserts nothing.
 */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { type LoadedProfile, loadProfile } from '../../adapters/onnx/load-profile.ts'
import { openProduct, type Product } from '../../cli/open-product.ts'
import { repositoryPaths } from '../../cli/paths.ts'
import { say } from '../../cli/terminal.ts'
import { openRecommendationClient } from '../../gateway/request-reply.ts'
import { packFloats } from '../../model/features.ts'
import { seededRandom } from '../../model/random.ts'
import { loadConfig } from '../../runtime/config.ts'
import { musicFeatures } from '../../topics/topics.ts'
import { query } from '../support/query.ts'
import { publishRelease } from '../support/second-release.ts'
import { standInProfile } from '../support/stand-in-profile.ts'
import { openLoop, poissonArrivals, quantile, readOptions, report } from './measure.ts'
import { openServiceProduct } from './service-product.ts'

const options = readOptions({ tracks: 3_000, quiet: 5_000, requests: 10_000, rate: 40, on: 'embedded' })
const SEGMENTS = 18
const DEADLINE_MS = 30_000
const WARM_UP = 200
const MEANING_WEIGHT = 0.3
const SECOND = 'second'

interface Subject {
  readonly product: Product
  readonly profile: LoadedProfile
  close(): Promise<void>
}

async function openEmbedded(): Promise<Subject> {
  const folder = mkdtempSync(join(tmpdir(), 'cuestream-benchmark-'))
  const sessions = { intraOpThreads: 1 }
  const profile = await loadProfile('embedded', { repositoryModels: repositoryPaths.models, folder, sessions })
  const config = loadConfig({ env: {}, flags: { dataFolder: folder } })
  const product = await openProduct(config, { logger: pino({ level: 'warn' }), stages: 'all', profile })
  return {
    product,
    profile,
    async close() {
      await product.close()
      await profile.dispose()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const openOnServices = async (): Promise<Subject> => ({
  ...(await openServiceProduct({ stages: 'all' })),
  profile: standInProfile,
})

const { product, profile, close } = await (options.on === 'services' ? openOnServices() : openEmbedded())
const client = await openRecommendationClient({
  ...product,
  registry: new Registry(),
  newId: randomUUID,
  replyPartition: 1,
  maxInFlight: 100_000,
})
const random = seededRandom('release-swap')
const first = product.releases.plan().serving

async function produceTracks(): Promise<void> {
  const { music } = (await product.releases.current()).manifest.encoders
  for (let i = 0; i < options.tracks; i++) {
    const values = Float32Array.from({ length: SEGMENTS * music.dims }, () => random()) // (n, d)
    const trackId = `track-${i}`
    const value = await product.codec.encode(musicFeatures, {
      trackId,
      source: 'track',
      segments: SEGMENTS,
      dims: music.dims,
      values: Buffer.from(packFloats(values)),
      segmentSeconds: 10,
      durationSeconds: SEGMENTS * 10,
      encoder: { id: music.id, sha256: '' },
      computedAt: 0,
    })
    await product.broker.produce([{ topic: musicFeatures.name, key: trackId, value }])
  }
  const name = { release: first, kind: 'music' } as const
  while ((await product.index.count(name)) < options.tracks) await sleep(200)
}

interface Answers {
  readonly latencies: number[]
  readonly byRelease: Map<string, number>
  readonly failures: Map<string, number>
  answered: number
}
const noAnswers = (): Answers => ({ latencies: [], byRelease: new Map(), failures: new Map(), answered: 0 })
const count = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)

async function ask(i: number): Promise<string> {
  const words = `benchmark words number ${i % 50}`
  const { release, error } = await client.request(query({ text: words }), DEADLINE_MS)
  if (release === null) throw new Error(error?.code ?? 'no release')
  return release
}

async function load(requests: number, answers: Answers): Promise<void> {
  const arrivals = poissonArrivals(options.rate, (2 * requests) / options.rate, random).slice(0, requests)
  await openLoop(arrivals, async (i, intendedAt) => {
    try {
      count(answers.byRelease, await ask(i))
    } catch (error) {
      count(answers.failures, (error as { code?: string }).code ?? (error as Error).message)
    }
    answers.latencies.push(performance.now() - intendedAt)
    answers.answered++
  })
}

/** @returns s until the new release serves. */
async function rollOut(): Promise<number> {
  const startedAt = performance.now()
  await product.rollOuts.rollOut(SECOND)
  for (;;) {
    const { rollOut: state } = await product.rollOuts.view()
    if (state?.state === 'done') return (performance.now() - startedAt) / 1_000
    if (state?.state !== 'running') throw new Error(`The roll-out ended as ${state?.state}: ${state?.failure?.message}`)
    await sleep(100)
  }
}

/** @returns ms until a request that was asked afterwards is answered by the release before. */
async function rollBack(): Promise<number> {
  const startedAt = performance.now()
  await product.rollOuts.rollBack()
  while ((await ask(0)) !== first);
  return performance.now() - startedAt
}

try {
  await produceTracks()
  await publishRelease(product.config.dataFolder, SECOND, MEANING_WEIGHT, profile)
  await load(WARM_UP, noAnswers())
  const quiet = noAnswers()
  await load(options.quiet, quiet)
  const live = noAnswers()
  const requests = load(options.requests, live)
  const rollOutSeconds = await rollOut()
  const atSwitch = live.answered
  // Half of what is left is asked of the new release.
  while (live.answered < (atSwitch + options.requests) / 2) await sleep(100)
  const rollBackMs = await rollBack()
  await requests
  const line = (name: string, { latencies, byRelease, failures }: Answers) => [
    name,
    String(latencies.length),
    [...byRelease].map(([release, answers]) => `${release} ${answers}`).join(', '),
    [...failures].map(([code, times]) => `${code} ${times}`).join(', ') || '0',
    quantile(latencies, 0.5).toFixed(1),
    quantile(latencies, 0.99).toFixed(1),
  ]
  const failed = [...live.failures.values()].reduce((sum, times) => sum + times, 0)
  const ratio = quantile(live.latencies, 0.99) / quantile(quiet.latencies, 0.99)
  report(
    `${options.tracks} tracks of ${SEGMENTS} segments, ${options.rate} requests/s, on ${options.on}`,
    [
      ['', 'requests', 'answered by', 'failed', 'p50 ms', 'p99 ms'],
      line('quiet', quiet),
      line('rolled out and back', live),
    ],
    {
      quietP50Ms: quantile(quiet.latencies, 0.5),
      quietP99Ms: quantile(quiet.latencies, 0.99),
      liveP50Ms: quantile(live.latencies, 0.5),
      liveP99Ms: quantile(live.latencies, 0.99),
      p99Ratio: ratio,
      failed,
      rollOutSeconds,
      atSwitch,
      rollBackMs,
    },
  )
  say(`Roll-out ${rollOutSeconds.toFixed(1)} s, after ${atSwitch} answers; roll-back ${rollBackMs.toFixed(0)} ms.`)
} finally {
  await client.close()
  await close()
}
