/** What every adapter of the ModelStore port must do. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { InvalidRecordError, SetupError } from '../../ports/errors.ts'
import type { ModelStore } from '../../ports/model-store.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

export interface ModelStoreSubject {
  open(): Promise<ModelStore>
  /** Closes and opens it again on the same data. */
  reopen(): Promise<ModelStore>
  close(): Promise<void>
}

/** Contents of the files of a bundle, by name. */
export type BundleFiles = Readonly<Record<string, Uint8Array>>

export const towerFiles: BundleFiles = {
  'query.onnx': new Uint8Array(3_000_000).fill(7),
  'music.onnx': new Uint8Array(10).fill(8),
  'empty.bin': new Uint8Array(0),
}

export function modelStoreConformance(adapter: string, subject: ModelStoreSubject): void {
  describe(`ModelStore of ${adapter}`, () => {
    const folder = temporaryFolder()
    let store: ModelStore
    let bundleNumber = 0
    before(async () => {
      store = await subject.open()
    })
    after(() => subject.close())

    function bundle(files: BundleFiles = towerFiles): string {
      const directory = join(folder, `bundle-${bundleNumber++}`)
      mkdirSync(directory)
      for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content)
      return directory
    }

    test('a bundle comes back with its manifest and its files, and is listed', async () => {
      const manifest = manifestOf('v1')
      await store.publish(manifest, bundle())
      const found = await store.fetch('v1')
      assert.deepEqual(found.manifest, manifest)
      for (const [name, content] of Object.entries(towerFiles)) {
        assert.ok(readFileSync(join(found.directory, name)).equals(content), name)
      }
      await store.publish(manifestOf('a.0_b-c'), bundle())
      assert.deepEqual(await store.list(), ['a.0_b-c', 'v1'])
    })

    test('files beside the bundle that its manifest does not name stay behind', async () => {
      await store.publish(manifestOf('beside'), bundle({ ...towerFiles, 'secret.txt': Uint8Array.of(1) }))
      const { directory } = await store.fetch('beside')
      assert.ok(!existsSync(join(directory, 'secret.txt')))
    })

    test('the same bundle again is fine, made later and measured again too; what was published first stays', async () => {
      const first = manifestOf('twice')
      await store.publish(first, bundle())
      await store.publish(first, bundle())
      await store.publish({ ...first, createdAt: '2026-01-01T00:00:00Z', metrics: { recall: 0.1 } }, bundle())
      assert.deepEqual((await store.fetch('twice')).manifest, first)
    })

    test('another bundle under the same release id is refused', async () => {
      await store.publish(manifestOf('taken'), bundle())
      const files = { ...towerFiles, 'music.onnx': Uint8Array.of(1) }
      await assert.rejects(
        store.publish(manifestOf('taken', files), bundle(files)),
        hasCode(SetupError, 'release-exists'),
      )
      const otherDims = { ...manifestOf('taken'), dims: 128 }
      await assert.rejects(store.publish(otherDims, bundle()), hasCode(SetupError, 'release-exists'))
      assert.deepEqual((await store.fetch('taken')).manifest, manifestOf('taken'))
    })

    test('of publishers of one bundle at the same time all succeed; of two bundles one wins whole', async () => {
      await Promise.all([1, 2, 3].map(() => store.publish(manifestOf('race'), bundle())))
      await store.fetch('race')
      const files = { ...towerFiles, 'music.onnx': Uint8Array.of(1) }
      const outcomes = await Promise.allSettled([
        store.publish(manifestOf('contest'), bundle()),
        store.publish(manifestOf('contest', files), bundle(files)),
      ])
      assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
      await store.fetch('contest')
    })

    const badFiles: readonly [string, (directory: string) => void, RegExp][] = [
      ['missing', () => {}, /music\.onnx/],
      ['shorter', (at) => writeFileSync(join(at, 'music.onnx'), Buffer.alloc(9, 8)), /music\.onnx.*9/],
      ['longer', (at) => writeFileSync(join(at, 'music.onnx'), Buffer.alloc(11, 8)), /music\.onnx.*10/],
      ['changed', (at) => writeFileSync(join(at, 'music.onnx'), Buffer.alloc(10, 9)), /music\.onnx.*sha256/],
      ['a folder', (at) => mkdirSync(join(at, 'music.onnx')), /music\.onnx/],
      ['a link', (at) => symlinkSync(join(at, 'query.onnx'), join(at, 'music.onnx')), /music\.onnx.*link/],
    ]
    for (const [what, spoil, message] of badFiles) {
      test(`a bundle with a file that is ${what} is refused and leaves nothing`, async () => {
        const { 'music.onnx': _, ...rest } = towerFiles
        const directory = bundle(rest)
        spoil(directory)
        await assert.rejects(store.publish(manifestOf('bad'), directory), hasCode(SetupError, 'bad-bundle', message))
        assert.ok(!(await store.list()).includes('bad'))
        await assert.rejects(store.fetch('bad'), hasCode(InvalidRecordError, 'unknown-release'))
      })
    }

    const good = manifestOf('bad')
    const file = good.files[0]!
    const badManifests: readonly [string, object][] = [
      ['a release id with a path', { release: '../bad' }],
      ['a release id in capitals', { release: 'Bad' }],
      ['a release id that is too long', { release: 'b'.repeat(65) }],
      ['a file name that climbs', { files: [...good.files, { ...file, name: '../escape.onnx' }] }],
      ['an absolute file name', { files: [...good.files, { ...file, name: '/etc/passwd' }] }],
      ['a file name with a folder', { files: [...good.files, { ...file, name: 'a/b.onnx' }] }],
      ['a file name with a backslash', { files: [...good.files, { ...file, name: 'a\\b.onnx' }] }],
      ['a hidden file', { files: [...good.files, { ...file, name: '.hidden' }] }],
      ['the manifest among its files', { files: [...good.files, { ...file, name: 'manifest.json' }] }],
      ['one file twice', { files: [...good.files, { ...file, name: 'QUERY.onnx' }] }],
      ['no files', { files: [] }],
      ['a tower that is not among the files', { towers: { query: 'query.onnx', music: 'other.onnx' } }],
      ['a hash that is none', { files: [{ ...file, sha256: 'abc' }, ...good.files.slice(1)] }],
      ['negative bytes', { files: [{ ...file, bytes: -1 }, ...good.files.slice(1)] }],
      ['a metric of NaN', { metrics: { recall: Number.NaN } }],
      ['no dims', { dims: 0 }],
      ['an unknown field', { script: 'run me' }],
    ]
    for (const [what, change] of badManifests) {
      test(`a manifest with ${what} is refused`, async () => {
        const manifest = { ...good, ...change } as ReleaseManifest
        await assert.rejects(store.publish(manifest, bundle()), hasCode(SetupError, 'bad-bundle'))
        assert.ok(!(await store.list()).includes('bad'))
      })
    }

    test('releases that are not there, and ids that are paths, are unknown', async () => {
      for (const release of ['nowhere', '', '.', '..', '../v1', '/etc', 'v1/', 'v1\0']) {
        await assert.rejects(store.fetch(release), hasCode(InvalidRecordError, 'unknown-release'), release)
      }
    })

    test('a removed release is gone, may be removed again and published anew', async () => {
      await store.publish(manifestOf('removed'), bundle())
      await store.remove('removed')
      await store.remove('removed')
      await assert.rejects(store.fetch('removed'), hasCode(InvalidRecordError, 'unknown-release'))
      const files = { ...towerFiles, 'music.onnx': Uint8Array.of(1) }
      await store.publish(manifestOf('removed', files), bundle(files))
      assert.deepEqual((await store.fetch('removed')).manifest, manifestOf('removed', files))
    })

    test('what was published is there after opening again, though the bundle it came from is not', async () => {
      const directory = bundle()
      await store.publish(manifestOf('kept'), directory)
      for (const name of readdirSync(directory)) writeFileSync(join(directory, name), 'overwritten')
      store = await subject.reopen()
      assert.deepEqual((await store.fetch('kept')).manifest, manifestOf('kept'))
    })
  })
}

export function manifestOf(release: string, files: BundleFiles = towerFiles): ReleaseManifest {
  return {
    release,
    model: 'viml',
    dims: 256,
    encoders: {
      video: { id: 'video-1', dims: 1280 },
      music: { id: 'music-1', dims: 1506 },
      text: { id: 'text-1', dims: 384 },
    },
    towers: { query: 'query.onnx', music: 'music.onnx' },
    files: Object.entries(files).map(([name, content]) => ({
      name,
      sha256: createHash('sha256').update(content).digest('hex'),
      bytes: content.length,
    })),
    metrics: { recall: 0.5 },
    parent: null,
    createdAt: '2025-01-01T00:00:00Z',
  }
}

export function hasCode(type: typeof SetupError | typeof InvalidRecordError, code: string, message = /./) {
  return (error: unknown) => error instanceof type && error.code === code && message.test(error.message)
}
