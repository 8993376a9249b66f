/** A child process that writes to an embedded adapter one row after the other, and is killed (-9) while it does. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { openCatalogue } from '../../adapters/embedded/catalogue.ts'
import { openVectorIndex } from '../../adapters/embedded/vector-index.ts'

export type WriterKind = 'vector-index' | 'catalogue'

const self = fileURLToPath(import.meta.url)

/** @returns the number of writes that had resolved when it was killed: at least `atLeast`, numbered from 0. */
export async function killedWriter(kind: WriterKind, folder: string, atLeast: number): Promise<number> {
  const child = spawn(process.execPath, ['--import', 'tsx', self, kind, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  let acknowledged = 0
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged = Number(line) + 1
    if (acknowledged === atLeast) child.kill('SIGKILL')
  }
  const [code, signal] = await exited
  if (signal !== 'SIGKILL') throw new Error(`The writer ended by itself with code ${code}, signal ${signal}`)
  return acknowledged
}

async function write(kind: WriterKind, folder: string): Promise<void> {
  const acknowledge = (i: number) => process.stdout.write(`${i}\n`)
  if (kind === 'catalogue') {
    const catalogue = openCatalogue({ folder })
    for (let i = 0; ; i++) {
      await catalogue.recordStage({ id: `upload-${i}`, kind: 'track' }, 'received', i)
      acknowledge(i)
    }
  }
  const index = await openVectorIndex({ folder })
  const name = { release: 'killed', kind: 'music' } as const
  await index.create(name, 2)
  for (let i = 0; ; i++) {
    const vector = Float32Array.of(Math.cos(i), Math.sin(i))
    await index.upsert(name, [{ id: `row-${i}`, vector, attributes: { n: i } }])
    acknowledge(i)
  }
}

if (process.argv[1] === self) await write(process.argv[2] as WriterKind, process.argv[3]!)
