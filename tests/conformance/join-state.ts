/** What every adapter of the JoinState port must do. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { JoinState } from '../../ports/join-state.ts'

export interface JoinStateSubject {
  open(): Promise<JoinState>
  /** Closes and opens it again on the same data. */
  reopen(): Promise<JoinState>
  close(): Promise<void>
}

export function joinStateConformance(adapter: string, subject: JoinStateSubject): void {
  describe(`JoinState of ${adapter}`, () => {
    let state: JoinState
    before(async () => {
      state = await subject.open()
    })
    after(() => subject.close())
    const bytes = (...values: number[]) => Uint8Array.from(values)

    test('parts of one id come together in any order, and other ids are not seen', async () => {
      assert.deepEqual([...(await state.merge('a', 'video', bytes(1), 10)).keys()], ['video'])
      await state.merge('ab', 'music', bytes(9), 10)
      const parts = await state.merge('a', 'music', bytes(2, 3), 11)
      assert.deepEqual([...parts.keys()].sort(), ['music', 'video'])
      assert.deepEqual([...parts.get('music')!], [2, 3])
    })

    test('a part that comes again replaces itself', async () => {
      await state.merge('again', 'text', bytes(1), 1)
      const parts = await state.merge('again', 'text', bytes(2), 2)
      assert.equal(parts.size, 1)
      assert.deepEqual([...parts.get('text')!], [2])
    })

    test('of parts merged at the same time none is lost', async () => {
      const merged = await Promise.all(
        Array.from({ length: 20 }, (_, i) => state.merge('busy', `part-${i}`, bytes(i), i)),
      )
      assert.equal(Math.max(...merged.map((parts) => parts.size)), 20)
    })

    test('incomplete ids are counted, and ids untouched since the given time expire, whole ones too', async () => {
      const before = await state.incomplete(3)
      for (const part of ['video', 'music', 'text']) {
        await state.merge('whole', part, bytes(0), 10_000)
        await state.merge('old whole', part, bytes(0), 100)
      }
      await state.merge('old', 'video', bytes(0), 100)
      await state.merge('new', 'video', bytes(0), 10_000)
      assert.equal(await state.incomplete(3), before + 2)
      await state.expire(3, 10_000)
      assert.deepEqual([...(await state.merge('new', 'music', bytes(1), 10_001)).keys()].sort(), ['music', 'video'])
      assert.deepEqual([...(await state.merge('old', 'music', bytes(1), 10_001)).keys()], ['music'])
      assert.equal((await state.merge('whole', 'video', bytes(0), 10_001)).size, 3)
      assert.equal((await state.merge('old whole', 'video', bytes(0), 10_001)).size, 1)
    })

    test('what was merged is there after opening again, and what was removed is not', async () => {
      await state.merge('kept', 'video', bytes(7), 1)
      await state.merge('gone', 'video', bytes(7), 1)
      await state.remove('gone')
      state = await subject.reopen()
      assert.equal((await state.merge('kept', 'music', bytes(8), 2)).size, 2)
      assert.equal((await state.merge('gone', 'music', bytes(8), 2)).size, 1)
    })
  })
}
