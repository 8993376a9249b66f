import assert from 'node:assert/strict'
import { test } from 'node:test'
import { patiently } from '../../../adapters/kafka/faults.ts'
import { OutageError } from '../../../ports/errors.ts'

test('what was called off before it began is not begun', async () => {
  let attempts = 0
  const patience = { deadline: Number.POSITIVE_INFINITY, signal: AbortSignal.abort() }
  await assert.rejects(
    patiently('asking', patience, async () => void attempts++),
    OutageError,
  )
  assert.equal(attempts, 0)
})
