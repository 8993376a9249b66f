/** What every adapter of the GenerationStore port must do. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { GenerationStore } from '../../ports/text-generator.ts'

export interface GenerationStoreSubject {
  open(): Promise<GenerationStore>
  /** Closes and opens it again on the same data. */
  reopen(): Promise<GenerationStore>
  close(): Promise<void>
}

export function generationStoreConformance(adapter: string, subject: GenerationStoreSubject): void {
  describe(`GenerationStore of ${adapter}`, () => {
    let store: GenerationStore
    before(async () => {
      store = await subject.open()
    })
    after(() => subject.close())
    const text = { text: 'Ein „Lied“ 🎵 with 100 % drums', truncated: true, inputTokens: 812, outputTokens: 31 }

    test('a text is found by its hash alone, as it was kept', async () => {
      await store.keep('a'.repeat(64), text, Date.now())
      assert.deepEqual(await store.kept('a'.repeat(64)), text)
      assert.equal(await store.kept('b'.repeat(64)), undefined)
    })

    test('texts and amounts are there after opening again', async () => {
      await store.keep('c'.repeat(64), text, Date.now())
      assert.ok(await store.reserve('2031-01', 7, 100))
      store = await subject.reopen()
      assert.deepEqual(await store.kept('c'.repeat(64)), text)
      assert.equal(await store.spent('2031-01'), 7)
    })

    test('what is set aside counts as spent until it is settled, and of the rest nothing is lost', async () => {
      assert.ok(await store.reserve('day', 60, 100))
      assert.equal(await store.reserve('day', 41, 100), false)
      assert.ok(await store.reserve('day', 40, 100))
      assert.equal(await store.spent('day'), 100)
      await store.settle('day', 60, 10)
      assert.equal(await store.spent('day'), 50)
      assert.ok(await store.reserve('day', 50, 100))
      assert.equal(await store.reserve('day', 1, 100), false)
      assert.ok(await store.reserve('day', 0, 100), 'what costs nothing is never refused at the cap')
    })

    test('periods are apart', async () => {
      assert.ok(await store.reserve('one', 100, 100))
      assert.ok(await store.reserve('other', 100, 100))
      assert.equal(await store.spent('neither'), 0)
    })

    test('of reservations at the same time no more are granted than the cap has room for', async () => {
      const granted = await Promise.all(Array.from({ length: 50 }, () => store.reserve('rush', 3, 100)))
      assert.equal(granted.filter(Boolean).length, 33)
      assert.equal(await store.spent('rush'), 99)
    })

    test('a text that was kept lately outlives an expiry of old ones', async () => {
      const now = Date.now()
      await store.keep('d'.repeat(64), text, now)
      await store.expire(now - 86_400_000)
      assert.deepEqual(await store.kept('d'.repeat(64)), text)
    })
  })
}
