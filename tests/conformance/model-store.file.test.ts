import assert from 'node:assert/strict'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { openFileModelStore } from '../../adapters/model-store/file.ts'
import { InvalidRecordError } from '../../ports/errors.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { hasCode, manifestOf, modelStoreConformance, towerFiles } from './model-store.ts'

const folder = join(temporaryFolder(), 'releases')
const open = async () => openFileModelStore({ folder })
modelStoreConformance('a folder', { open, close: async () => {}, reopen: open })

describe('the model store in a folder', () => {
  const bundle = temporaryFolder()
  for (const [name, content] of Object.entries(towerFiles)) writeFileSync(join(bundle, name), content)

  const tampering: readonly [string, (directory: string) => void][] = [
    ['a changed file', (at) => writeFileSync(join(at, 'music.onnx'), Buffer.alloc(10, 9))],
    ['a file cut short', (at) => writeFileSync(join(at, 'music.onnx'), Buffer.alloc(9, 8))],
    ['a file that grew', (at) => writeFileSync(join(at, 'music.onnx'), Buffer.alloc(11, 8))],
    ['a missing file', (at) => rmSync(join(at, 'empty.bin'))],
    ['a file too many', (at) => writeFileSync(join(at, 'extra.onnx'), '')],
    ['a folder too many', (at) => mkdirSync(join(at, 'extra'))],
    [
      'a link to the same content',
      (at) => {
        renameSync(join(at, 'music.onnx'), join(at, '..', '.moved'))
        symlinkSync('../.moved', join(at, 'music.onnx'))
      },
    ],
    ['no manifest', (at) => rmSync(join(at, 'manifest.json'))],
    ['a manifest that is not JSON', (at) => writeFileSync(join(at, 'manifest.json'), '{')],
    ['a manifest that is too large', (at) => writeFileSync(join(at, 'manifest.json'), ' '.repeat(2 ** 21))],
    [
      'the manifest of another release',
      (at) => writeFileSync(join(at, 'manifest.json'), JSON.stringify(manifestOf('other'))),
    ],
    [
      'a manifest that names a file outside',
      (at) => {
        const manifest = manifestOf('t')
        const files = [...manifest.files, { ...manifest.files[0]!, name: '../escape' }]
        writeFileSync(join(at, 'manifest.json'), JSON.stringify({ ...manifest, files }))
      },
    ],
  ]
  for (const [what, tamper] of tampering) {
    test(`a stored release with ${what} is not given out`, async () => {
      const folder = temporaryFolder()
      const store = openFileModelStore({ folder })
      await store.publish(manifestOf('t'), bundle)
      await store.fetch('t')
      tamper(join(folder, 't'))
      await assert.rejects(store.fetch('t'), hasCode(InvalidRecordError, 'tampered-release'))
    })
  }

  test('a release folder that is a link is no release', async () => {
    const folder = temporaryFolder()
    const elsewhere = join(temporaryFolder(), 't')
    const store = openFileModelStore({ folder })
    await store.publish(manifestOf('t'), bundle)
    renameSync(join(folder, 't'), elsewhere)
    symlinkSync(elsewhere, join(folder, 't'))
    assert.deepEqual(await store.list(), [])
    await assert.rejects(store.fetch('t'), hasCode(InvalidRecordError, 'unknown-release'))
  })

  test('what a killed publisher left is not listed and goes when it is old; a young one is left alone', async () => {
    const folder = temporaryFolder()
    const store = openFileModelStore({ folder })
    for (const name of ['.publishing-old', '.removed-old', '.publishing-young']) {
      mkdirSync(join(folder, name))
      writeFileSync(join(folder, name, 'manifest.json'), readFileSync(join(bundle, 'music.onnx')))
      if (name.endsWith('old')) utimesSync(join(folder, name), 1, 1)
    }
    assert.deepEqual(await store.list(), [])
    await store.publish(manifestOf('t'), bundle)
    assert.deepEqual(readdirSync(folder).sort(), ['.publishing-young', 't'])
  })
})
