import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { seededRandom } from '../../model/random.ts'
import type { Topic } from '../../topics/topic.ts'
import { tripletsMaterialized } from '../../topics/topics.ts'
import { pairsFromTriplets } from '../../trainer/data/triplet-pairs.ts'
import { syncTriplets } from '../../trainer/data/triplet-shards.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { analysed, embeddedTripletTopics, feedback, takedown, triplet, upload } from '../support/triplet-topics.ts'

const SEED = 11
const KILLS = 8
const TRIPLETS = 120
const script = fileURLToPath(new URL('../support/training-sync-process.ts', import.meta.url))

/** @returns whether it was killed: after it had read `records`, or else it was done. */
async function runAndKill(dataFolder: string, folder: string, records: number): Promise<boolean> {
  const child = spawn(process.execPath, ['--import', 'tsx', script, dataFolder, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  for await (const line of createInterface(child.stdout)) if (line === `read ${records}`) child.kill('SIGKILL')
  const [code, signal] = await exited
  assert.ok(code === 0 || signal === 'SIGKILL', `it ended with code ${code}, signal ${signal}`)
  return signal === 'SIGKILL'
}

test('a sync of training data that is killed again and again ends with what one in peace has', async () => {
  const dataFolder = temporaryFolder()
  const folder = temporaryFolder()
  const random = seededRandom(SEED)
  const ids = Array.from({ length: TRIPLETS }, (_, i) => `v${i}`)
  const topics = await embeddedTripletTopics(dataFolder)
  await topics.produce(...ids.map((id) => upload(id)), ...ids.map((id) => triplet(id)))
  await topics.produce(upload('t', { kind: 'track' }), ...analysed('t', 'track'), ...analysed('v1', 'video'))
  await topics.produce(feedback('v1', 't', 'chosen'))
  await topics.close()

  let killed = 0
  for (let run = 0; run < KILLS; run++) {
    if (await runAndKill(dataFolder, folder, 1 + Math.floor(random() * 25))) killed++
    if (run !== KILLS / 2) continue
    const changing = await embeddedTripletTopics(dataFolder)
    await changing.produce(takedown('v9'), takedown('v9', tripletsMaterialized as Topic))
    await changing.produce(...ids.slice(20, 90).map((id) => triplet(id, { text: `Better words of ${id}.` })))
    await changing.close()
  }
  assert.ok(killed >= KILLS / 2, `it was killed ${killed} times`)

  const after = await embeddedTripletTopics(dataFolder)
  const peaceful = temporaryFolder()
  const report = await syncTriplets({ ...after, folder })
  assert.deepEqual(
    { ...report, added: 0, removed: 0 },
    { triplets: 119, chosenPairs: 1, added: 0, removed: 0, unreadable: 0 },
  )
  await syncTriplets({ ...after, folder: peaceful })
  await after.close()
  assert.deepEqual(await pairsFromTriplets(folder), await pairsFromTriplets(peaceful))
  const left = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.partial'))
  assert.deepEqual(left, [], 'nothing half written is left')
})
