/**
 * Memory of the whole product while many uploads go through: the samples, repeated under new names.
 *
 *     npm run benchmark:memory -- 500
 *
 * Prints resident memory (of the process; decoders are processes of their own) as uploads complete; asserts nothing.
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
const rows = [['uploads done', 'seconds', 'resident MB', 'peak so far MB']]

try {
  const limit = pLimit(8)
  const submitting = Promise.all(
    Array.from({ length: total }, (_, i) => samples[i % samples.length]!).map((sample, i) =>
      limit(() => api.submit({ path: sample.path!, kind: sample.kind!, id: `${sample.id}-copy-${i}` })),
    ),
  )
  submitting.catch(() => {})
  let peak = 0
  for (let shown = -1; ; ) {
    const { counts, stages } = await api.pipeline()
    const resident = residentMegabytes(product.process.pid!)
    peak = Math.max(peak, resident)
    const indexed = await countReady()
    if (Math.floor(indexed / every) > shown) {
      shown = Math.floor(indexed / every)
      rows.push([
        String(indexed),
        ((performance.now() - startedAt) / 1_000).toFixed(0),
        resident.toFixed(0),
        peak.toFixed(0),
      ])
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
async function countReady(): Promise<number> {
  const text = await (await fetch(`${product.url}/metrics`)).text()
  const done = (topic: string) => {
    const line = new RegExp(
      `^cuestream_stage_records_total\\{processor="index-embeddings",topic="${topic}",outcome="done"\\} (\\d+)`,
      'm',
    )
    return Number(line.exec(text)?.[1] ?? 0)
  }
  return done('music.embedded.v1') + done('video.embedded.v1')
}

function residentMegabytes(pid: number): number {
  const [, kilobytes = '0'] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) / 1024
}
