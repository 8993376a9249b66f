/**
 * How long an upload takes to be found, beyond what its analysis costs.
 *
 *     npm run benchmark:upload-to-searchable -- [--seconds 15] [--rounds 5] [--burst 150] [--processes one|several]
 *
 * The encoders and the decoder are stand-ins; what is left of the analysis is the DSP over one second of samples, shown
 * as the handlers' own time and not taken off the latencies: they are an upper bound of the overhead.
 * In each round a burst gives the capacity; then tracks arrive as a Poisson process at 70 % of it, and each counts from the
 * time at which it was meant to be uploaded until its vector is in the index, looked up every 20 ms. Figures are medians
 * over the rounds.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import pLimit from 'p-limit'
import { seededRandom } from '../../model/random.ts'
import { processors } from '../../processors/registry.ts'
import { standInMedia } from '../support/stand-in-media.ts'
import { median, openLoop, poissonArrivals, quantile, readOptions, report } from './measure.ts'
import { openServiceProduct } from './service-product.ts'

const options = readOptions({ seconds: 15, rounds: 5, burst: 150, load: 0.7, processes: 'one', seed: 1 })
const TRACK_SECONDS = 1
const LOOK_EVERY_MS = 20
const shares = { p50: 0.5, p90: 0.9, p99: 0.99 }

const names = processors.map(({ name }) => name)
const others = names.filter((name) => name !== 'analyse-music')
const several = { 'analyse-music': 1, [others.join(',')]: 1 }
const { product, close } = await openServiceProduct(
  options.processes === 'several' ? { stages: [], layout: several } : { stages: 'all' },
)
let uploaded = 0
const waiting = new Map<string, (at: number) => void>()
let isWatching = true
const watching = watch()
try {
  await searchable()
  const before = await handlerSeconds()
  const random = seededRandom(options.seed)
  const capacities: number[] = []
  const rounds: number[][] = []
  for (let round = 0; round < options.rounds; round++) {
    const capacity = await burst(options.burst)
    const arrivals = poissonArrivals(options.load * capacity, options.seconds, random)
    const latencies: number[] = []
    await openLoop(arrivals, async (_, intendedAt) => latencies.push((await searchable()) - intendedAt))
    capacities.push(capacity)
    rounds.push(latencies)
  }
  const capacity = median(capacities)
  const computeMs = ((await handlerSeconds()) - before) * (1_000 / uploaded)

  const ms = Object.values(shares).map((share) => median(rounds.map((round) => quantile(round, share))))
  const rows = [
    ['processes', 'capacity/s', 'uploads/s', 'uploads', ...Object.keys(shares).map((share) => `${share} ms`), 'DSP ms'],
    [
      options.processes,
      capacity.toFixed(1),
      (options.load * capacity).toFixed(1),
      String(rounds.flat().length),
      ...ms.map((figure) => figure.toFixed(0)),
      options.processes === 'one' ? computeMs.toFixed(1) : 'elsewhere',
    ],
  ]
  const figures = Object.fromEntries(Object.keys(shares).map((share, i) => [`${share}_ms`, ms[i]!]))
  report(`Upload to searchable at ${options.load * 100} % load; target: p99 at most 2000 ms`, rows, {
    capacity,
    ...figures,
  })
} finally {
  isWatching = false
  await watching
  await close()
}

/** @returns uploads a second, once the pipeline is full: over the middle half. */
async function burst(count: number): Promise<number> {
  const limit = pLimit(32)
  const ends = await Promise.all(Array.from({ length: count }, () => limit(searchable)))
  ends.sort((a, b) => a - b)
  const [from, to] = [Math.floor(count / 4), Math.floor((count * 3) / 4)]
  return ((to - from) / (ends[to]! - ends[from]!)) * 1_000
}

/** Uploads a track. @returns when it was found (performance.now()). */
async function searchable(): Promise<number> {
  const id = `track-${uploaded++}`
  const content = standInMedia({ kind: 'track', seconds: TRACK_SECONDS, silent: false, seed: id })
  const source = async function* () {
    yield content
  }
  const found = new Promise<number>((resolve) => waiting.set(id, resolve))
  await product.uploads.submit({ id, kind: 'track', source: { content: source() }, title: id })
  return found
}

async function watch(): Promise<void> {
  const { release } = await product.releases.current()
  while (isWatching) {
    if (waiting.size > 0) {
      const rows = await product.index.vectors({ release, kind: 'music' }, [...waiting.keys()])
      const at = performance.now()
      for (const id of rows.keys()) {
        waiting.get(id)!(at)
        waiting.delete(id)
      }
    }
    await sleep(LOOK_EVERY_MS)
  }
}

/** Of the stages of this process that compute, in all. */
async function handlerSeconds(): Promise<number> {
  const text = await product.registry.getSingleMetricAsString('cuestream_stage_handle_seconds')
  const sums = text.matchAll(/handle_seconds_sum\{processor="(?:analyse-music|embed-music)"[^}]*\} (\S+)/g)
  return [...sums].reduce((sum, [, seconds]) => sum + Number(seconds), 0)
}
