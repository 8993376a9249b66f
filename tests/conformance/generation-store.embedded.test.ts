import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openGenerationStore } from '../../adapters/embedded/generation-store.ts'
import type { GenerationStore } from '../../ports/text-generator.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { generationStoreConformance } from './generation-store.ts'

const folder = temporaryFolder()
let store: GenerationStore | undefined
const open = async () => {
  store = openGenerationStore(folder)
  return store
}
const close = async () => store?.close()

generationStoreConformance('the embedded store', { open, close, reopen: () => close().then(open) })

test('texts that were kept before a day expire, and those of that day do not', async () => {
  const own = openGenerationStore(temporaryFolder())
  const text = { text: 'A song.', truncated: false, inputTokens: 1, outputTokens: 1 }
  const day = 86_400_000
  await own.keep('old', text, 5 * day - 1)
  await own.keep('new', text, 5 * day)
  await own.expire(5 * day)
  assert.equal(await own.kept('old'), undefined)
  assert.deepEqual(await own.kept('new'), text)
  await own.close()
})
