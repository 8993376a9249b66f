import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { inspect } from 'node:util'
import pLimit from 'p-limit'
import { pino } from 'pino'
import { openS3ModelStore, type S3ModelStoreOptions } from '../../adapters/model-store/s3.ts'
import { S3Bucket } from '../../adapters/model-store/s3-bucket.ts'
import type { S3Address } from '../../adapters/model-store/s3-request.ts'
import { openModelStore } from '../../cli/backends.ts'
import { InvalidRecordError, OutageError, SetupError } from '../../ports/errors.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import { loadConfig } from '../../runtime/config.ts'
import { type BundleFiles, hasCode, manifestOf, towerFiles } from '../conformance/model-store.ts'
import { impatient, testBucket } from '../support/s3.ts'
import { type Answers, refuse, s3Front } from '../support/s3-front.ts'
import { tcpProxy } from '../support/tcp-proxy.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { tlsFront } from '../support/tls-front.ts'

describe('the model store in a bucket', () => {
  const folder = temporaryFolder()
  let address: S3Address
  let number = 0
  before(async () => {
    address = await testBucket()
  })

  const newFolder = () => join(folder, String(number++))
  const newId = () => `release-${number++}`
  const storeAt = (change: Partial<S3ModelStoreOptions> = {}) =>
    openS3ModelStore({ ...address, prefix: 'store', cacheFolder: newFolder(), patience: impatient, ...change })
  const bucket = () => new S3Bucket(address, impatient)

  function bundle(files: BundleFiles = towerFiles): string {
    const directory = newFolder()
    mkdirSync(directory)
    for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content)
    return directory
  }

  async function published(): Promise<ReleaseManifest> {
    const manifest = manifestOf(newId())
    await storeAt().publish(manifest, bundle())
    return manifest
  }

  function keyOf({ release, files }: ReleaseManifest, name: string): string {
    return `store/${release}/${files.find((file) => file.name === name)!.sha256}/${name}`
  }

  /** Puts other content there behind the store's back. */
  async function overwrite(key: string, content: Uint8Array): Promise<void> {
    const path = newFolder()
    writeFileSync(path, content)
    const sha256 = createHash('sha256').update(content).digest('hex')
    await bucket().upload(key, { path, bytes: content.length, sha256 })
  }

  function assertWhole(directory: string): void {
    assert.deepEqual(readdirSync(directory).sort(), [...Object.keys(towerFiles), 'manifest.json'].sort())
    for (const [name, content] of Object.entries(towerFiles)) {
      assert.ok(readFileSync(join(directory, name)).equals(content), name)
    }
  }

  describe('what was changed in the bucket is not given out', () => {
    const manifest = manifestOf('tampered')
    const text = (changed: object) => Buffer.from(JSON.stringify({ ...manifest, ...changed }))
    const music = keyOf(manifest, 'music.onnx')
    const tampering: readonly [string, () => Promise<void>][] = [
      ['a changed byte', () => overwrite(music, Buffer.alloc(10, 9))],
      ['a file cut short', () => overwrite(music, Buffer.alloc(9, 8))],
      ['a file that grew', () => overwrite(music, Buffer.alloc(2 ** 21, 8))],
      ['a missing file', () => bucket().delete(music)],
      ['a manifest that is not JSON', () => overwrite('store/tampered/manifest.json', Buffer.from('{'))],
      ['a manifest that is too large', () => overwrite('store/tampered/manifest.json', Buffer.alloc(2 ** 21, ' '))],
      ['the manifest of another release', () => overwrite('store/tampered/manifest.json', text({ release: 'other' }))],
      [
        'a manifest that names a file outside',
        () => {
          const files = [...manifest.files, { ...manifest.files[0]!, name: '../escape' }]
          return overwrite('store/tampered/manifest.json', text({ files }))
        },
      ],
    ]
    for (const [what, tamper] of tampering) {
      test(what, async () => {
        await storeAt().publish(manifest, bundle())
        const cacheFolder = newFolder()
        mkdirSync(cacheFolder)
        await tamper()
        const store = storeAt({ cacheFolder })
        await assert.rejects(store.fetch('tampered'), hasCode(InvalidRecordError, 'tampered-release'))
        assert.deepEqual(readdirSync(cacheFolder), [], 'something of it stays on this machine')
        await store.remove('tampered')
      })
    }
  })

  test('a copy that was changed on this machine is fetched anew; one that is whole is not downloaded again', async () => {
    const manifest = await published()
    let downloads = 0
    const endpoint = await s3Front(address.endpoint, ({ url }) => {
      if (url?.includes('query.onnx')) downloads++
      return false
    })
    const store = storeAt({ endpoint })
    const { directory } = await store.fetch(manifest.release)
    await store.fetch(manifest.release)
    assert.equal(downloads, 1)
    writeFileSync(join(directory, 'music.onnx'), 'changed')
    assertWhole((await store.fetch(manifest.release)).directory)
    assert.equal(downloads, 2)
  })

  test('a copy of what was removed and published anew under the same id is replaced', async () => {
    const manifest = await published()
    const store = storeAt()
    await store.fetch(manifest.release)
    await storeAt().remove(manifest.release)
    const files = { ...towerFiles, 'music.onnx': Uint8Array.of(1) }
    await storeAt().publish(manifestOf(manifest.release, files), bundle(files))
    const { directory } = await store.fetch(manifest.release)
    assert.deepEqual([...readFileSync(join(directory, 'music.onnx'))], [1])
  })

  test('of two machines that publish two bundles under one id, one wins whole and the other is told', async () => {
    const files = { ...towerFiles, 'music.onnx': Uint8Array.of(1) }
    for (let round = 0; round < 5; round++) {
      const release = newId()
      const outcomes = await Promise.allSettled([
        storeAt().publish(manifestOf(release), bundle()),
        storeAt().publish(manifestOf(release, files), bundle(files)),
      ])
      const [refusal, ...others] = outcomes.flatMap((outcome) =>
        outcome.status === 'rejected' ? [outcome.reason] : [],
      )
      assert.equal(others.length, 0)
      assert.ok(hasCode(SetupError, 'release-exists')(refusal), String(refusal))
      const winner = outcomes[0].status === 'fulfilled' ? manifestOf(release) : manifestOf(release, files)
      assert.deepEqual((await storeAt().fetch(release)).manifest, winner)
    }
  })

  test('a service that knows no conditions is published to without, and still refuses another bundle', async () => {
    const endpoint = await s3Front(address.endpoint, ({ headers }, response) =>
      headers['if-none-match'] === undefined ? false : refuse(response, 501, 'NotImplemented'),
    )
    const release = newId()
    await storeAt({ endpoint }).publish(manifestOf(release), bundle())
    assertWhole((await storeAt().fetch(release)).directory)
    const files = { ...towerFiles, 'music.onnx': Uint8Array.of(1) }
    const again = storeAt({ endpoint }).publish(manifestOf(release, files), bundle(files))
    await assert.rejects(again, hasCode(SetupError, 'release-exists'))
  })

  test('a publisher that ends before its manifest leaves no release, and what it left is removed', async () => {
    const endpoint = await s3Front(address.endpoint, ({ method, url }, response) =>
      method === 'PUT' && url!.endsWith('/manifest.json') ? refuse(response, 503, 'SlowDown') : false,
    )
    const manifest = manifestOf(newId())
    const { release } = manifest
    await assert.rejects(storeAt({ endpoint }).publish(manifest, bundle()), OutageError)
    assert.ok(!(await storeAt().list()).includes(release), 'it is not listed')
    await assert.rejects(storeAt().fetch(release), hasCode(InvalidRecordError, 'unknown-release'))
    assert.equal((await bucket().keys(`store/${release}/`)).length, 3)
    await overwrite(`store/${release}/notes.txt`, Buffer.from('of somebody else'))
    await storeAt().remove(release)
    assert.deepEqual(await bucket().keys(`store/${release}/`), [`store/${release}/notes.txt`])
    await storeAt().publish(manifest, bundle())
    assertWhole((await storeAt().fetch(release)).directory)
  })

  test('more releases than a page of the list holds are all listed', async () => {
    const releases = Array.from({ length: 1_005 }, (_, index) => `r${String(index).padStart(4, '0')}`)
    const limit = pLimit(16)
    await Promise.all(
      releases.map((release) => limit(() => bucket().create(`many/${release}/manifest.json`, Buffer.from('{}')))),
    )
    await overwrite(`many/r0000/${'a'.repeat(64)}/manifest.json`, Buffer.from('{}'))
    await overwrite('many/manifest.json', Buffer.from('{}'))
    assert.deepEqual(await storeAt({ prefix: 'many' }).list(), releases)
  })

  test('a store at the top of a bucket, and one in a folder of it, keep to themselves', async () => {
    const own = await testBucket()
    const top = storeAt({ ...own, prefix: '' })
    const inFolder = storeAt({ ...own, prefix: 'a/b' })
    await top.publish(manifestOf('top'), bundle())
    await inFolder.publish(manifestOf('deep'), bundle())
    assert.deepEqual([await top.list(), await inFolder.list()], [['top'], ['deep']])
    assertWhole((await top.fetch('top')).directory)
  })

  describe('when the service fails', () => {
    test('a download that is cut in the middle is begun again', async () => {
      const manifest = await published()
      const { hostname: host, port } = new URL(address.endpoint)
      const proxy = await tcpProxy({ host, port: Number(port) })
      try {
        const cut = proxy.endWithin(1_000_000)
        const { directory } = await storeAt({ endpoint: `http://127.0.0.1:${proxy.port}` }).fetch(manifest.release)
        await cut
        assertWhole(directory)
      } finally {
        await proxy.close()
      }
    })

    test('a machine that has a copy asks once and goes on with it; others try again', async () => {
      const manifest = await published()
      let asked = 0
      const endpoint = await s3Front(
        address.endpoint,
        (_, response) => ++asked > 0 && refuse(response, 500, 'InternalError'),
      )
      const cacheFolder = newFolder()
      await storeAt({ cacheFolder }).fetch(manifest.release)
      assertWhole((await storeAt({ endpoint, cacheFolder }).fetch(manifest.release)).directory)
      assert.equal(asked, 1)
      await assert.rejects(storeAt({ endpoint }).fetch(manifest.release), OutageError)
      assert.equal(asked, 1 + 1 + impatient.retries)
    })

    test('a service that is away keeps nothing from a machine that has its copy, and is told', async () => {
      const manifest = await published()
      const { hostname: host, port } = new URL(address.endpoint)
      const proxy = await tcpProxy({ host, port: Number(port) })
      try {
        const told: OutageError[] = []
        const endpoint = `http://127.0.0.1:${proxy.port}`
        const store = storeAt({ endpoint, onOutage: (error) => told.push(error) })
        await store.fetch(manifest.release)
        proxy.cut()
        assertWhole((await store.fetch(manifest.release)).directory)
        assert.deepEqual(
          told.map(({ code }) => code),
          ['model-store-unavailable'],
        )
        const isOutage = (error: unknown) => error instanceof OutageError && error.code === 'model-store-unavailable'
        await assert.rejects(storeAt({ endpoint }).fetch(manifest.release), isOutage)
        await assert.rejects(store.list(), isOutage)
        await assert.rejects(store.publish(manifestOf(newId()), bundle()), isOutage)
        await assert.rejects(store.remove(manifest.release), isOutage)
        proxy.restore()
        await store.remove(manifest.release)
        await assert.rejects(store.fetch(manifest.release), hasCode(InvalidRecordError, 'unknown-release'))
      } finally {
        await proxy.close()
      }
    })

    test('a service that falls silent is given up', async () => {
      const silent: Answers = () => true
      const endpoint = await s3Front(address.endpoint, silent)
      const patience = { ...impatient, idleMs: 50, retries: 1 }
      await assert.rejects(storeAt({ endpoint, patience }).list(), OutageError)
    })

    test('a service that answers byte by byte is given up when its time is over', async () => {
      const endpoint = await s3Front(address.endpoint, (_, response) => {
        response.writeHead(200)
        const drip = setInterval(() => response.write(' '), 5)
        response.once('close', () => clearInterval(drip))
        return true
      })
      const patience = { ...impatient, answerMs: 100, leastBytesPerSecond: 2 ** 40, retries: 0 }
      await assert.rejects(storeAt({ endpoint, patience }).fetch('dripping'), OutageError)
    })

    test('a service that is busy is asked again after the time that it names', async () => {
      const manifest = await published()
      let refusals = 2
      const endpoint = await s3Front(address.endpoint, (_, response) =>
        refusals-- > 0 ? refuse(response, 503, 'SlowDown', { 'retry-after': '0' }) : false,
      )
      assertWhole((await storeAt({ endpoint }).fetch(manifest.release)).directory)
      assert.ok(refusals < 0, 'it was asked again')
    })

    test('a lost answer to the manifest does not make its publisher a loser', async () => {
      let lost = 0
      const { endpoint: behind } = address
      const endpoint = await s3Front(behind, (asked, response) => {
        if (asked.method !== 'PUT' || !asked.url!.endsWith('/manifest.json') || lost++ > 0) return false
        const chunks: Buffer[] = []
        asked.on('data', (chunk: Buffer) => chunks.push(chunk))
        asked.on('end', async () => {
          await bucket().create(asked.url!.replace(`/${address.bucket}/`, ''), Buffer.concat(chunks))
          response.destroy()
        })
        return true
      })
      const manifest = manifestOf(newId())
      await storeAt({ endpoint }).publish(manifest, bundle())
      assert.equal(lost, 2)
      assertWhole((await storeAt().fetch(manifest.release)).directory)
    })
  })

  describe('a service that means harm', () => {
    test('an endless manifest is not read to its end', async () => {
      const endpoint = await s3Front(address.endpoint, (_, response) => endless(response))
      await assert.rejects(storeAt({ endpoint }).fetch('endless'), hasCode(InvalidRecordError, 'tampered-release'))
    })

    test('an endless file is not read to its end', async () => {
      const manifest = await published()
      const endpoint = await s3Front(address.endpoint, ({ url }, response) =>
        url!.endsWith('music.onnx') ? endless(response) : false,
      )
      await assert.rejects(
        storeAt({ endpoint }).fetch(manifest.release),
        hasCode(InvalidRecordError, 'tampered-release', /music\.onnx is longer than the 10 bytes/),
      )
    })

    test('an endless list, a list without end and a page that is none are refused', async () => {
      const one = '<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>'
      const lists: Answers[] = [
        (_, response) => endless(response),
        (_, response) => Boolean(response.end(`<ListBucketResult>${one}</ListBucketResult>`)),
        (_, response) => Boolean(response.end('<html>Welcome</html>')),
      ]
      for (const list of lists) {
        const store = storeAt({ endpoint: await s3Front(address.endpoint, list) })
        await assert.rejects(store.list(), hasCode(SetupError, 'model-store-refused'))
      }
    })

    test('a list that names objects of others has none of them removed', async () => {
      const deleted: string[] = []
      const endpoint = await s3Front(address.endpoint, ({ method, url }, response) => {
        if (method === 'DELETE') deleted.push(url!)
        const keys = ['../../victim', 'store/other/manifest.json', `store/mine/${'a'.repeat(64)}/../../x`]
        const entries = keys.map((key) => `<Contents><Key>${key}</Key></Contents>`).join('')
        response.end(`<ListBucketResult>${entries}</ListBucketResult>`)
        return true
      })
      await storeAt({ endpoint }).remove('mine')
      assert.deepEqual(deleted, [`/${address.bucket}/store/mine/manifest.json`])
    })

    test('a redirect is not followed', async () => {
      let followed = 0
      const elsewhere = await s3Front(address.endpoint, () => ++followed > 0)
      const endpoint = await s3Front(address.endpoint, (_, response) =>
        refuse(response, 301, 'PermanentRedirect', { location: elsewhere }),
      )
      await assert.rejects(storeAt({ endpoint }).list(), hasCode(SetupError, 'model-store-refused', /modelStoreRegion/))
      assert.equal(followed, 0)
    })
  })

  describe('what an operator must set right is said', () => {
    const wrong: readonly [string, (right: S3Address) => Partial<S3ModelStoreOptions>, RegExp][] = [
      ['a bucket that is not there', () => ({ bucket: 'nowhere-at-all' }), /NoSuchBucket.*create the bucket/],
      ['another secret key', () => ({ secretKey: 'other-secret' }), /SignatureDoesNotMatch.*check the secret key/],
      ['another access key', () => ({ accessKey: 'other-key' }), /InvalidAccessKeyId.*check the access key/],
    ]
    for (const [what, change, message] of wrong) {
      test(what, async () => {
        const store = storeAt(change(address))
        const refused = hasCode(SetupError, 'model-store-refused', message)
        await assert.rejects(store.list(), refused)
        await assert.rejects(store.fetch('v1'), refused)
        await assert.rejects(store.publish(manifestOf('v1'), bundle()), refused)
        await assert.rejects(store.remove('v1'), refused)
      })
    }

    test('a server that is no S3 service', async () => {
      const endpoint = await s3Front(address.endpoint, (_, response) => {
        response.writeHead(404)
        response.end('<html>Not found</html>')
        return true
      })
      const refused = hasCode(SetupError, 'model-store-refused', /status 404.*modelStoreEndpoint/)
      await assert.rejects(storeAt({ endpoint }).fetch('v1'), refused)
      await assert.rejects(storeAt({ endpoint }).list(), refused)
    })

    test('a certificate that is not trusted; trusted, all is well', async (context) => {
      const { hostname: host, port } = new URL(address.endpoint)
      const front = await tlsFront({ host, port: Number(port) })
      if (front === undefined) return context.skip('openssl is not on this machine')
      const manifest = await published()
      const endpoint = `https://127.0.0.1:${front.port}`
      await assert.rejects(
        storeAt({ endpoint }).list(),
        hasCode(SetupError, 'model-store-refused', /modelStoreTlsCaFile/),
      )
      assertWhole((await storeAt({ endpoint, ca: front.cert }).fetch(manifest.release)).directory)
    })

    test('keys stand in no error and no log', async () => {
      const lines: string[] = []
      const logger = pino({ level: 'trace' }, { write: (line: string) => lines.push(line) })
      const secretKey = 'a-secret-that-is-not-told'
      const errors: unknown[] = []
      const away = 'http://127.0.0.1:1'
      for (const change of [{ secretKey }, { secretKey, endpoint: away }, { secretKey, accessKey: 'other' }]) {
        const store = storeAt(change)
        const attempts = [store.list(), store.fetch('v1'), store.publish(manifestOf('v1'), bundle())]
        for (const outcome of await Promise.allSettled(attempts)) {
          if (outcome.status === 'rejected') errors.push(outcome.reason)
        }
      }
      assert.equal(errors.length, 9)
      for (const err of errors) logger.error({ err }, 'It failed')
      const told = lines.join() + errors.map((error) => inspect(error, { depth: 20, showHidden: true })).join()
      for (const secret of [secretKey, 'Signature=', 'AWS4-HMAC']) assert.ok(!told.includes(secret), secret)
    })
  })

  test('configuration alone puts releases into a bucket, with keys from files', async () => {
    const secretFile = newFolder()
    writeFileSync(secretFile, `${address.secretKey}\n`)
    const config = (dataFolder: string) =>
      loadConfig({
        env: {
          CUESTREAM_DATA_FOLDER: dataFolder,
          CUESTREAM_MODEL_STORE_URL: `s3://${address.bucket}/by/configuration/`,
          CUESTREAM_MODEL_STORE_ENDPOINT: address.endpoint,
          CUESTREAM_MODEL_STORE_ACCESS_KEY: address.accessKey,
          CUESTREAM_MODEL_STORE_SECRET_KEY_FILE: secretFile,
        },
      })
    const logger = pino({ level: 'silent' })
    await (await openModelStore(config(newFolder()), logger)).publish(manifestOf('configured'), bundle())
    const other = await openModelStore(config(newFolder()), logger)
    assertWhole((await other.fetch('configured')).directory)
    assert.deepEqual(await storeAt({ prefix: 'by/configuration' }).list(), ['configured'])
  })
})

/** Megabytes until the other side has had enough. */
function endless(response: Parameters<Answers>[1]): true {
  const chunk = Buffer.alloc(2 ** 16, ' ')
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  }
  response.writeHead(200)
  response.on('drain', more)
  more()
  return true
}
