/**
 * Search times, recall, build time and memory of the embedded vector index; prints tables, asserts nothing.
 *
 *     node --expose-gc --import tsx tests/benchmark/vector-index.ts [rows,…] [dims,…]
 *
 * Clustered unit vectors (tests/support/vectors.ts), k = 10, queries drawn from the same clusters. The exact index and
 * the one with the graph hold the same rows; recall compares their answers.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type EmbeddedVectorIndex, openVectorIndex } from '../../adapters/embedded/vector-index.ts'
import { seededRandom } from '../../model/random.ts'
import type { Filter, IndexRow } from '../../ports/vector-index.ts'
import { clusterCentres, clusteredVectors } from '../support/vectors.ts'

const numbers = (text: string | undefined, otherwise: number[]) => text?.split(',').map(Number) ?? otherwise
const counts = numbers(process.argv[2], [1000, 10_000, 20_000, 100_000])
const widths = numbers(process.argv[3], [256, 384])

const CLUSTERS = 200
const K = 10
const QUERIES = 200
const CHURN_ROUNDS = 4
const filters: Readonly<Record<string, Filter>> = {
  none: [],
  '90 %': [{ field: 'part', min: 10 }],
  '10 %': [{ field: 'part', max: 9 }],
  '1 %': [{ field: 'tag', anyOf: ['tag-0'] }],
}
const name = { release: 'benchmark', kind: 'music' } as const
const folder = mkdtempSync(join(tmpdir(), 'cuestream-benchmark-'))

try {
  for (const dims of widths) for (const count of counts) await measure(count, dims)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function measure(count: number, dims: number): Promise<void> {
  const random = seededRandom(count + dims)
  const centres = clusterCentres({ dims, clusters: CLUSTERS, random })
  const draw = (n: number) => clusteredVectors({ count: n, dims, clusters: CLUSTERS, centres, random })
  const drawRows = (from: number, n: number) =>
    draw(n).map((vector, i) => ({
      id: `row-${from + i}`,
      vector,
      attributes: { part: i % 100, tag: [`tag-${(i * 7) % 100}`] },
    }))
  const queries = draw(QUERIES)
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  const graphFolder = join(folder, `graph-${dims}-${count}`)
  let index = await openVectorIndex({ folder: graphFolder, exactBelow: 500 })
  const exact = await openVectorIndex({ folder: join(folder, `exact-${dims}-${count}`), exactBelow: 1e9 })
  for (const each of [index, exact]) await each.create(name, dims)

  const loop = monitorEventLoopDelay({ resolution: 1 })
  let built = 0
  for (let from = 0; from < count; from += 1000) {
    const rows = drawRows(from, Math.min(1000, count - from))
    await exact.upsert(name, rows)
    built += await timed(() => index.upsert(name, rows))
  }
  loop.enable()
  const settling = await timed(() => index.settled())
  loop.disable()
  globalThis.gc?.()
  const rss = process.memoryUsage().rss - before

  const table = []
  for (const [label, filter] of Object.entries(filters)) {
    const slow = await search(exact, queries, filter)
    const quick = await search(index, queries, filter)
    table.push({ filter: label, ...row('exact', slow), ...row('graph', quick), recall: recall(quick, slow) })
  }
  await index.close()
  const opening = await timed(async () => {
    index = await openVectorIndex({ folder: graphFolder, exactBelow: 500 })
  })
  const reopened = await search(index, queries, [])
  const again = recall(reopened, await search(exact, queries, []))
  print(`## ${count} rows × ${dims}`)
  print(
    `Upserts ${ms(built)}, rest of the graph ${ms(settling)} with the event loop held for at most ${ms(loop.max / 1e6)}; ` +
      `opened again in ${ms(opening)}, recall then ${again}. RSS of both indexes +${Math.round(rss / 2 ** 20)} MiB.`,
  )
  printTable(table)
  if (count >= 10_000) await churn(index, exact, count, drawRows, queries)
  await index.close()
  await exact.close()
}

/** Every round removes a quarter of the rows and puts as many new ones, half of them under the old ids. */
async function churn(
  index: EmbeddedVectorIndex,
  exact: EmbeddedVectorIndex,
  count: number,
  drawRows: (from: number, n: number) => IndexRow[],
  queries: readonly Float32Array[],
): Promise<void> {
  const table = []
  const quarter = count / 4
  for (let round = 0; round < CHURN_ROUNDS; round++) {
    const from = round * quarter
    const removed = Array.from({ length: quarter }, (_, i) => `row-${from + i}`)
    const added = [...drawRows(from, quarter / 2), ...drawRows(count + from, quarter / 2)]
    for (const each of [exact, index]) await each.remove(name, removed)
    await exact.upsert(name, added)
    const writing = await timed(() => index.upsert(name, added))
    const lagging = await search(index, queries, [])
    const settling = await timed(() => index.settled())
    const settled = await search(index, queries, [])
    const truth = await search(exact, queries, [])
    table.push({
      'rows changed': quarter * (round + 1),
      'upserts ms': writing.toFixed(0),
      'settled after ms': settling.toFixed(0),
      ...row('catching up', lagging),
      'recall then': recall(lagging, truth),
      ...row('settled', settled),
      recall: recall(settled, truth),
    })
  }
  printTable(table)
}

interface Found {
  readonly times: number[]
  readonly ids: string[][]
}

async function search(index: EmbeddedVectorIndex, queries: readonly Float32Array[], filter: Filter): Promise<Found> {
  const found: Found = { times: [], ids: [] }
  for (const query of queries) {
    const start = performance.now()
    const hits = await index.search(name, query, K, filter)
    found.times.push(performance.now() - start)
    found.ids.push(hits.map(({ id }) => id))
    await nextTurn()
  }
  found.times.sort((a, b) => a - b)
  return found
}

function row(label: string, { times }: Found): Record<string, string> {
  const at = (quantile: number) => times[Math.floor(quantile * (times.length - 1))]!.toFixed(2)
  return { [`${label} p50`]: at(0.5), [`${label} p99`]: at(0.99) }
}

function recall(found: Found, truth: Found): string {
  let shared = 0
  let wanted = 0
  truth.ids.forEach((ids, i) => {
    const expected = new Set(ids)
    wanted += ids.length
    for (const id of found.ids[i]!) if (expected.has(id)) shared++
  })
  return (shared / wanted).toFixed(4)
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

function ms(value: number): string {
  return value < 1000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(1)} s`
}

function printTable(rows: readonly Record<string, string | number>[]): void {
  const columns = Object.keys(rows[0]!)
  print(`| ${columns.join(' | ')} |\n|${columns.map(() => '---|').join('')}`)
  for (const each of rows) print(`| ${columns.map((column) => each[column]).join(' | ')} |`)
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
