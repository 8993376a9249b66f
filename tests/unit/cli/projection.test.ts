/** When an index that was wiped answers again. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, beforeEach, describe, test } from 'node:test'
import { openCatalogue } from '../../../adapters/embedded/catalogue.ts'
import { openVectorIndex } from '../../../adapters/embedded/vector-index.ts'
import { filledGate, projectionGeneration } from '../../../cli/projection.ts'
import type { PartitionLag } from '../../../ports/broker.ts'
import { OutageError } from '../../../ports/errors.ts'
import type { VectorIndex } from '../../../ports/vector-index.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

describe('an index that is filled from its topics', () => {
  const folder = temporaryFolder()
  const catalogue = openCatalogue({ folder: join(folder, 'catalogue') })
  let embedded: VectorIndex
  let nowMs = 0
  let generation = 'first'
  let lagRecords = 0
  const asked: string[] = []

  /** The index as a server has it, which may come back empty under another generation. */
  const stores = () => ({ index: { ...embedded, generation: async () => generation } as VectorIndex, catalogue })
  const broker = {
    async lag(group: string): Promise<PartitionLag[]> {
      asked.push(group)
      return [{ topic: 'music.embedded.v1', partition: 0, committedOffset: 0, endOffset: lagRecords, lagRecords }]
    },
  }
  const gate = () => filledGate({ ...stores(), broker, now: () => nowMs })
  const isFilling = (error: unknown) => error instanceof OutageError && error.code === 'index-filling'

  beforeEach(async () => {
    embedded ??= await openVectorIndex({ folder: join(folder, 'index') })
    nowMs += 60_000
    asked.length = 0
  })
  after(async () => {
    await embedded.close()
    await catalogue.close()
  })

  test('answers nothing after a wipe until its topics were read once, and a backlog later on changes nothing', async () => {
    const assertFilled = gate()
    generation = 'wiped'
    lagRecords = 10_000
    await assert.rejects(assertFilled(), isFilling)
    lagRecords = 0
    await assert.rejects(assertFilled(), isFilling, 'it looks once a second')
    nowMs += 1_000
    await assertFilled()
    lagRecords = 10_000
    nowMs += 1_000
    await assertFilled()
    await gate()() // another process, that begins with the backlog
  })

  test('answers under a steady stream, whose lag is never 0, once it was small for some seconds', async () => {
    generation = 'busy'
    lagRecords = 300
    const assertFilled = gate()
    await assert.rejects(assertFilled(), isFilling)
    nowMs += 3_000
    lagRecords = 900
    await assert.rejects(assertFilled(), isFilling)
    lagRecords = 200
    for (const waitMs of [1_000, 2_500, 2_400]) {
      nowMs += waitMs
      await assert.rejects(assertFilled(), isFilling)
    }
    nowMs += 1_000
    await assertFilled()
  })

  test('is asked about in the group of its generation, and one that is never wiped is not asked about', async () => {
    generation = 'third'
    lagRecords = 0
    await gate()()
    assert.deepEqual(asked, [`index-embeddings@${await projectionGeneration(stores())}`])
    generation = ''
    asked.length = 0
    await gate()()
    assert.deepEqual(asked, [])
  })
})
