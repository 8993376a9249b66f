import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { EmbeddedBroker } from '../../adapters/embedded/broker.ts'
import { seededRandom } from '../../model/random.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const SEED = 7
type Flush = NonNullable<TopicSettings['flush']>
const script = fileURLToPath(new URL('../support/crash-transform-process.ts', import.meta.url))

/** Runs the child until it has acknowledged `count` records, kills it, and returns all that it acknowledged. */
async function runAndKill(dataFolder: string, flush: Flush, count: number): Promise<string[]> {
  const child = spawn(process.execPath, ['--import', 'tsx', script, dataFolder, flush], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const acknowledged: string[] = []
  for await (const line of createInterface(child.stdout)) {
    // The last line may be cut; every id that was written whole was acknowledged.
    const id = /^acknowledged (\d+-\d+)$/.exec(line)?.[1]
    if (id !== undefined) acknowledged.push(id)
    if (acknowledged.length === count) child.kill('SIGKILL')
  }
  assert.deepEqual(await exited, [null, 'SIGKILL'])
  return acknowledged
}

async function loseAndDoubleNothing(flush: Flush, kills: number): Promise<void> {
  const dataFolder = temporaryFolder()
  const random = seededRandom(SEED)
  const acknowledged: string[] = []
  for (let kill = 0; kill < kills; kill++)
    acknowledged.push(...(await runAndKill(dataFolder, flush, 1 + Math.floor(random() * 400))))
  const drain = spawnSync(process.execPath, ['--import', 'tsx', script, dataFolder, flush, 'drain'], {
    stdio: 'inherit',
  })
  assert.equal(drain.status, 0)

  const broker = await EmbeddedBroker.open({ dataFolder, onError: (error) => assert.fail(`${error}`) })
  const keysOf = async (topic: string) => {
    const partitions = await Promise.all([0, 1, 2].map((partition) => broker.read(topic, partition, 0, 1_000_000)))
    return partitions.flat().map(({ key }) => key!)
  }
  const [inputs, outputs] = [await keysOf('in'), await keysOf('out')]
  await broker.close()
  assert.equal(new Set(inputs).size, inputs.length)
  const lost = new Set(acknowledged)
  for (const id of inputs) lost.delete(id)
  assert.deepEqual([...lost], [], 'acknowledged inputs that are gone')
  assert.deepEqual(outputs.toSorted(), inputs.toSorted(), 'each input has exactly one output')
}

test('a process killed twenty times in the middle of consume-transform-produce loses no input and doubles no output', () =>
  loseAndDoubleNothing('at-once', 20))

test('nor does one killed five times with topics that nothing flushes', () => loseAndDoubleNothing('by-os', 5))
