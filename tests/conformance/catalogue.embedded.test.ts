import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openCatalogue } from '../../adapters/embedded/catalogue.ts'
import type { Catalogue } from '../../ports/catalogue.ts'
import { killedWriter } from '../support/killed-writer.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { catalogueConformance } from './catalogue.ts'

const folder = temporaryFolder()
let catalogue: Catalogue | undefined
const open = async () => {
  catalogue = openCatalogue({ folder })
  return catalogue
}
const close = async () => catalogue?.close()

catalogueConformance('the embedded store', { open, close, reopen: () => close().then(open) })

test('every stage that was acknowledged before a kill -9 is there', async () => {
  const folder = temporaryFolder()
  const acknowledged = await killedWriter('catalogue', folder, 300)
  const catalogue = openCatalogue({ folder })
  for (let i = 0; i < acknowledged; i++) {
    assert.deepEqual((await catalogue.upload(`upload-${i}`))?.stages, { received: i })
  }
  await catalogue.close()
})
