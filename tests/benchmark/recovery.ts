/**
 * How long a partition stands still when the process that reads it is killed.
 *
 *     npm run benchmark:recovery -- [--kills 5] [--instances 2] [--session 10000]
 *
 * Several processes run describe-music. A probe goes to every partition ten times a second; one process is killed with
 * SIGKILL at a random moment, and its supervisor starts another at once, as Kubernetes would. The recovery of a kill is
 * the longest that any probe waited, of those sent since just before it: the session timeout, until the group gives the
 * killed one up, and the rebalances, its own and that of the new process. Every probe must come out exactly once.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { partitionForKey } from '../../adapters/partitioner.ts'
import { pick, seededRandom } from '../../model/random.ts'
import { musicDescribed, musicTagged } from '../../topics/topics.ts'
import { until } from '../support/until.ts'
import { median, readOptions, report } from './measure.ts'
import { tagsOfThreeMinutes } from './sample-records.ts'
import { openServiceProduct } from './service-product.ts'

const options = readOptions({ kills: 5, instances: 2, session: 10_000, seed: 1 })
const PROBE_EVERY_MS = 100
/** For the rebalance that a new process brings. */
const SETTLE_MS = 3_000
const stage = 'describe-music'

const { product, fleet, close } = await openServiceProduct({
  stages: [],
  layout: { [stage]: options.instances },
  env: { CUESTREAM_KAFKA_SESSION_MS: String(options.session) },
})
const { broker, codec } = product
const random = seededRandom(options.seed)
const partitions = Array.from({ length: musicTagged.partitions }, (_, partition) => partition)
const sentAt = new Map<string, number>()
const outputs = new Map<string, { partition: number; latencyMs: number; times: number }>()
const value = await codec.encode(musicTagged, tagsOfThreeMinutes())
const tails = await Promise.all(
  partitions.map((partition) =>
    broker.tail(musicDescribed.name, partition, ({ key }) => {
      const probe = outputs.get(key!)
      if (probe !== undefined) outputs.set(key!, { ...probe, times: probe.times + 1 })
      else outputs.set(key!, { partition, latencyMs: performance.now() - sentAt.get(key!)!, times: 1 })
    }),
  ),
)
let isProbing = true
let probing = Promise.resolve()
try {
  probing = probe()
  await until('a probe from every partition', async () => new Set(partitionsSince(0)).size === partitions.length)
  const recoveries: number[] = []
  for (let kill = 0; kill < options.kills; kill++) {
    await sleep(random() * 2_000)
    const killedAt = performance.now()
    await pick(fleet.of(stage), random).kill()
    await fleet.up()
    const recovered = async () => new Set(partitionsSince(killedAt)).size === partitions.length
    await until('every partition after a kill', recovered, 10 * options.session)
    await sleep(SETTLE_MS)
    recoveries.push(longestWaitMs(killedAt - PROBE_EVERY_MS))
    process.stderr.write(`kill ${kill + 1}: ${(recoveries.at(-1)! / 1_000).toFixed(1)} s\n`)
  }
  isProbing = false
  await probing
  await until('every probe', async () => outputs.size === sentAt.size)
  const again = [...outputs.values()].filter(({ times }) => times > 1).length
  const beyond = recoveries.map((ms) => ms - options.session)
  const seconds = (ms: number) => (ms / 1_000).toFixed(1)
  report(
    `${options.instances} processes of ${stage}, session timeout ${seconds(options.session)} s; target: session timeout + 5 s`,
    [
      ['kills', 'median s', 'worst s', 'worst beyond the session timeout s', 'probes', 'lost', 'twice'],
      [
        String(recoveries.length),
        seconds(median(recoveries)),
        seconds(Math.max(...recoveries)),
        seconds(Math.max(...beyond)),
        String(sentAt.size),
        String(sentAt.size - outputs.size),
        String(again),
      ],
    ],
    {
      session_ms: options.session,
      median_ms: median(recoveries),
      worst_ms: Math.max(...recoveries),
      worst_beyond_session_ms: Math.max(...beyond),
      lost: sentAt.size - outputs.size,
      twice: again,
    },
  )
} finally {
  isProbing = false
  await probing
  await Promise.all(tails.map((tail) => tail.stop()))
  await close()
}

async function probe(): Promise<void> {
  for (let i = 0; isProbing; i++) {
    const probes = partitions.map((partition) => keyOf(partition, i))
    for (const key of probes) sentAt.set(key, performance.now())
    await broker.produce(probes.map((key) => ({ topic: musicTagged.name, key, value })))
    await sleep(PROBE_EVERY_MS)
  }
}

/** A key of this partition, on the way in and on the way out: the topics are co-partitioned. */
function keyOf(partition: number, i: number): string {
  for (let n = 0; ; n++) {
    const key = `probe-${i}-${n}`
    if (!sentAt.has(key) && partitionForKey(key, partitions.length) === partition) return key
  }
}

/** Partitions that gave a probe which was sent since. */
function partitionsSince(atMs: number): number[] {
  return [...outputs].filter(([key]) => sentAt.get(key)! >= atMs).map(([, { partition }]) => partition)
}

/** Of the probes sent since, those that wait still included. */
function longestWaitMs(sinceMs: number): number {
  const since = [...sentAt].filter(([, at]) => at >= sinceMs)
  return Math.max(...since.map(([key, at]) => outputs.get(key)?.latencyMs ?? performance.now() - at))
}
