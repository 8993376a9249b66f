/** Ctrl-C in a terminal signals every process of the group, decoders too. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectApi } from '../../cli/api-client.ts'
import { readManifest } from '../../cli/manifest.ts'
import { repositoryPaths } from '../../cli/paths.ts'
import { startProduct } from '../support/product-process.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'

test('Ctrl-C during analysis ends cleanly, and no good file is taken for a broken one', async () => {
  const folder = temporaryFolder()
  const samples = await readManifest(repositoryPaths.samples)
  const some = [...samples.slice(0, 2), samples.at(-1)!]
  const first = await startProduct(folder)
  const api = connectApi(first.url)
  for (const { path, kind, id } of some) await api.submit({ path: path!, kind: kind!, id: id! })
  const analysing = ({ name, inFlight }: { name: string; inFlight: number }) =>
    name.startsWith('analyse-') && inFlight > 0
  // A second after the stages have begun the decoders run.
  await until('analysis to run', async () => (await api.pipeline()).stages.some(analysing))
  await new Promise((resolve) => setTimeout(resolve, 700))
  assert.equal(await first.interrupt(), 0)

  const second = await startProduct(folder)
  const again = connectApi(second.url)
  for (const { id } of some) {
    const upload = await until(`${id} to settle`, async () => {
      const view = await again.upload(id!)
      return view.state !== 'analysing' && view
    })
    assert.equal(upload.state, 'ready', `${id}: ${upload.failure?.message}`)
  }
  assert.deepEqual(await again.deadLetters(), [])
  assert.equal(await second.stop(), 0)
})
