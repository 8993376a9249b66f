/**
 * Memory of the whole product while many uploads go through: the samples, repeated under new names.
 *
 *     npm run benchmark:memory -- 500
 *
 * Prints memory of the process as uploads complete (decoders are processes of their own): resident, the anonymous part
 * of it (the rest is files: code and the mapped stores, which grow with the data), and the JavaScript heap. Asserts nothing.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pLimit from 'p-limit'
import { connectApi } from '../../cli/api-client.ts'
import { readManifest } from '../../cli/manifest.ts'
import { repositoryPaths } from '../../cli/paths.ts'
import { say, table } from '../../cli/terminal.ts'
import { startProduct } from '../support/product-process.ts'

const total = Number(process.argv[2] ?? 500)
const every = Math.max(1, Math.round(total / 10))
const folder = mkdtempSync(join(tmpdir(), 'cuestream-benchmark-'))
const product = await startProduct(folder)
const api = connectApi(product.url)
const samples = await readManifest(repositoryPaths.samples)
const startedAt = performance.now()
const rows = [['uploads done', 'seconds', 'resident MB', 'anonymous MB', 'heap MB']]

try {
  const limit = pLimit(8)
  const submitting = Promise.all(
    Array.from({ length: total }, (_, i) => samples[i % samples.length]!).map((sample, i) =>
      limit(() => api.submit({ path: sample.path!, kind: sample.kind!, id: `${sample.id}-copy-${i}` })),
    ),
  )
  submitting.catch(() => {})
  for (let shown = -1; ; ) {
    const { counts, stages } = await api.pipeline()
    const metrics = await (await fetch(`${product.url}/metrics`)).text()
    const indexed = countReady(metrics)
    if (Math.floor(indexed / every) > shown) {
      shown = Math.floor(indexed / every)
      const heap = Number(/^nodejs_heap_size_used_bytes (\S+)/m.exec(metrics)?.[1] ?? 0) / 1024 ** 2
      const figures = [(performance.now() - startedAt) / 1_000, ...processMegabytes(product.process.pid!), heap]
      rows.push([String(indexed), ...figures.map((figure) => figure.toFixed(0))])
      process.stderr.write(`${rows.at(-1)!.join('  ')}\n`)
    }
    const idle = stages.every(({ lagRecords, inFlight }) => lagRecords === 0 && inFlight === 0)
    if (indexed + counts.failed >= total && idle) break
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  await submitting
  say(`${total} uploads, Node ${process.version}\n`)
  say(table(rows))
} finally {
  await product.kill()
  rmSync(folder, { recursive: true, force: true })
}

/** From the metrics: uploads whose last stage is done. */
function countReady(metrics: string): number {
  const done = (topic: string) => {
    const line = `^cuestream_stage_records_total\\{processor="index-embeddings",topic="${topic}",outcome="done"\\} (\\d+)`
    return Number(new RegExp(line, 'm').exec(metrics)?.[1] ?? 0)
  }
  return done('music.embedded.v1') + done('video.embedded.v1')
}

/** @returns resident and anonymous memory (Linux). */
function processMegabytes(pid: number): [resident: number, anonymous: number] {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const megabytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) / 1024
  return [megabytes('VmRSS'), megabytes('RssAnon')]
}
