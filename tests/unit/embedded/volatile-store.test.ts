import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { Database } from 'lmdb'
import { openVolatileStore } from '../../../adapters/embedded/volatile-store.ts'
import { loseUnflushedPages } from '../../support/lmdb-damage.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const refuse = (error: unknown) => assert.fail(`set aside: ${error}`)

/** Opens it, as if in this run of the machine, with a table inside. */
async function openAt(folder: string, boot: string, onSetAside: (error: Error) => void = refuse) {
  return openVolatileStore(folder, (root) => root.openDB<string, string>({ name: 'table' }), onSetAside, boot)
}

/** What a process leaves that wrote in boot 'one' and never closed. */
async function leftOpen(): Promise<string> {
  const [folder, left] = [join(temporaryFolder(), 'store'), join(temporaryFolder(), 'store')]
  const { store, close } = await openAt(folder, 'one')
  await store.put('key', 'value')
  cpSync(folder, left, { recursive: true })
  await close()
  return left
}

describe('a store that nothing flushes', () => {
  test('it keeps its rows when the process died and the machine did not', async () => {
    const { store, close } = await openAt(await leftOpen(), 'one')
    assert.equal(store.get('key'), 'value')
    await close()
  })

  test('it is set aside unopened when the machine stopped while it was open', async () => {
    const folder = await leftOpen()
    const before = readFileSync(join(folder, 'data.mdb'))
    const errors: Error[] = []
    const { store, close } = await openAt(folder, 'two', (error) => errors.push(error))
    assert.equal(store.get('key'), undefined)
    assert.deepEqual(
      errors.map((error) => (error as { code?: string }).code),
      ['store-set-aside'],
    )
    assert.match(errors[0]!.message, /the machine stopped/)
    assert.equal(Buffer.compare(readFileSync(join(`${folder}.damaged`, 'data.mdb')), before), 0)
    await close()
  })

  test('it keeps its rows when it was closed before the machine stopped', async () => {
    const folder = join(temporaryFolder(), 'store')
    const first = await openAt(folder, 'one')
    await first.store.put('key', 'value')
    await first.close()
    const second = await openAt(folder, 'two')
    assert.equal(second.store.get('key'), 'value')
    await second.close()
  })

  test('it keeps its rows where nobody can tell one boot from the next', async () => {
    const { store, close } = await openAt(await leftOpen(), 'unknown')
    assert.equal(store.get('key'), 'value')
    await close()
  })

  test('one that cannot be opened takes the place of the one set aside before, with its cause', async () => {
    const folder = join(temporaryFolder(), 'store')
    mkdirSync(`${folder}.damaged`)
    writeFileSync(join(`${folder}.damaged`, 'earlier'), '')
    const first = await openAt(folder, 'one')
    await first.store.put('key', 'value')
    await first.close()
    loseUnflushedPages(join(folder, 'data.mdb'))
    const errors: Error[] = []
    const { store, close } = await openAt(folder, 'one', (error) => errors.push(error))
    await store.put('key', 'value')
    assert.equal(errors.length, 1)
    assert.ok(errors[0]!.cause instanceof Error)
    assert.equal(existsSync(join(`${folder}.damaged`, 'earlier')), false)
    assert.ok(existsSync(join(`${folder}.damaged`, 'data.mdb')))
    await close()
  })

  test('one whose contents cannot be used is set aside as well', async () => {
    const folder = await leftOpen()
    let opened = 0
    const use = (table: Database<string, string>) => {
      if (opened++ === 0) throw new Error('unusable')
      return table
    }
    const errors: Error[] = []
    const { store, close } = await openVolatileStore(
      folder,
      (root) => use(root.openDB<string, string>({ name: 'table' })),
      (error) => errors.push(error),
      'one',
    )
    assert.equal(store.get('key'), undefined)
    assert.equal((errors[0]!.cause as Error).message, 'unusable')
    await close()
  })
})
