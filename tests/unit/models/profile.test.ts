import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseProfile, readProfile } from '../../../adapters/models/profile.ts'
import { verifyProfile } from '../../../adapters/models/profile-files.ts'
import { pullProfile } from '../../../adapters/models/pull.ts'
import { loadProfile } from '../../../adapters/onnx/load-profile.ts'
import { SetupError } from '../../../ports/errors.ts'
import { imageGraph, writePaperFiles } from '../../support/paper-graphs.ts'

const repositoryModels = fileURLToPath(new URL('../../../models', import.meta.url))
const nowhere = { repositoryModels, folder: '/nonexistent' }

async function temporaryFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'cuestream-profile-'))
  context.after(() => rm(folder, { recursive: true }))
  return folder
}

const embeddedJson = async () =>
  JSON.parse(await readFile(path.join(repositoryModels, 'profiles/embedded.json'), 'utf8'))

test('every file of the embedded profile is there with the hash and size of its manifest', async () => {
  const profile = await readProfile('embedded', repositoryModels)
  const checks = await verifyProfile(profile, nowhere)
  assert.equal(checks.length, profile.files.length)
  for (const [index, check] of checks.entries()) {
    assert.equal(check.status, 'ok', check.path)
    assert.equal(check.bytes, profile.files[index]?.bytes)
  }
})

test('a manifest is refused with all its faults when it names files, columns or paths that cannot be', async () => {
  const broken = await embeddedJson()
  broken.files[0].name = '../../etc/passwd'
  broken.files[1].url = 'http://example.com/names.json'
  broken.files[2].sha256 = 'ABC'
  assert.throws(
    () => parseProfile(broken, 'broken.json'),
    (error: unknown) => {
      assert.ok(error instanceof SetupError && error.code === 'bad-profile')
      assert.match(error.message, /broken\.json[\s\S]*files\.0\.name[\s\S]*files\.1\.url[\s\S]*files\.2\.sha256/)
      return true
    },
  )
  const gap = await embeddedJson()
  gap.encoders.video.columns.classes = [1281, 2281]
  gap.encoders.text.file = 'other.onnx'
  assert.throws(() => parseProfile(gap, 'gap.json'), /"other\.onnx"[\s\S]*"classes" must be \[1280, 2280\]/)
})

test('an unknown profile, or one that would leave the folder, is refused', async () => {
  for (const id of ['clip', '../profiles/embedded', 'none.json', '']) {
    await assert.rejects(readProfile(id, repositoryModels), { code: 'unknown-profile' }, id)
  }
})

test('a profile of one’s own is read from its path', async (context) => {
  const folder = await temporaryFolder(context)
  const own = { ...(await embeddedJson()), id: 'own' }
  await writeFile(path.join(folder, 'own.json'), JSON.stringify(own))
  assert.equal((await readProfile(path.join(folder, 'own.json'), repositoryModels)).id, 'own')
})

test('the class names are the thousand of ImageNet in its order', async (context) => {
  const profile = await loadProfile('embedded', nowhere)
  context.after(() => profile.dispose())
  const { labels } = profile.imageEncoder
  assert.equal(labels.length, 1000)
  const known: Record<number, RegExp> = {
    0: /tench/,
    1: /goldfish/,
    2: /great white shark/,
    100: /black swan/,
    151: /Chihuahua/,
    207: /golden retriever/i,
    281: /tabby/,
    340: /zebra/,
    404: /airliner/,
    417: /balloon/,
    463: /bucket/,
    504: /coffee mug/,
    546: /electric guitar/,
    579: /grand piano/,
    620: /laptop/,
    701: /parachute/,
    779: /school bus/,
    817: /sports car/,
    889: /violin/,
    954: /banana/,
    963: /pizza/,
    980: /volcano/,
    999: /toilet (paper|tissue)/,
  }
  for (const [index, name] of Object.entries(known)) assert.match(labels[Number(index)] ?? '', name, index)
})

test('an embedded row tells feature and class columns apart, and the classes are probabilities', async (context) => {
  const profile = await loadProfile('embedded', nowhere)
  context.after(() => profile.dispose())
  const { imageEncoder, musicEncoder } = profile
  assert.equal(imageEncoder.dims, 2280)
  assert.deepEqual(imageEncoder.columns, { feature: [0, 1280], classes: [1280, 2280] })
  const row = await imageEncoder.encode(new Uint8Array(224 * 224 * 3).fill(127), 1)
  const sum = row.subarray(1280).reduce((total, value) => total + value, 0)
  assert.ok(Math.abs(sum - 1) < 1e-4, `the classes sum to ${sum}`)
  assert.equal(musicEncoder.dims, 1506)
  assert.deepEqual([musicEncoder.labels[0], musicEncoder.labels[50]], ['mtt:guitar', 'msd:rock'])
  assert.equal(musicEncoder.labels.length, 100)
})

test('each tagger’s values stand in its own columns and under its own labels', async (context) => {
  const json = await embeddedJson()
  const folder = await temporaryFolder(context)
  json.encoders.music.taggers.splice(0, 1) // MSD alone
  json.encoders.music.columns = { msd: [0, 753] }
  const own = path.join(folder, 'own.json')
  await writeFile(own, JSON.stringify(json))
  const [both, alone] = await Promise.all([loadProfile('embedded', nowhere), loadProfile(own, nowhere)])
  context.after(async () => {
    await both.dispose()
    await alone.dispose()
  })
  const { patchSamples } = both.musicEncoder
  const pcm = Float32Array.from({ length: 2 * patchSamples }, (_, index) => Math.sin(index * 0.17 + index ** 2 * 1e-6))
  const [left, right] = await Promise.all([both.musicEncoder.encode(pcm, 2), alone.musicEncoder.encode(pcm, 2)])
  const [from, to] = both.musicEncoder.columns.msd!
  for (const patch of [0, 1]) {
    const row = left.embeddings.subarray(patch * 1506, (patch + 1) * 1506)
    assert.deepEqual(row.subarray(from, to), right.embeddings.subarray(patch * 753, (patch + 1) * 753))
    assert.ok(row.subarray(0, 753).some((value) => value !== 0))
    assert.deepEqual(
      left.tags.subarray(patch * 100 + 50, (patch + 1) * 100),
      right.tags.subarray(patch * 50, (patch + 1) * 50),
    )
  }
  assert.deepEqual(both.musicEncoder.labels.slice(50), alone.musicEncoder.labels)
})

test('MiniLM places sentences as the published float32 model does, to 0.01', async (context) => {
  const profile = await loadProfile('embedded', nowhere)
  context.after(() => profile.dispose())
  const { textEncoder } = profile
  const rows = await textEncoder.encode([
    'That is a happy person',
    'That is a happy dog',
    'That is a very happy person',
    'Today is a sunny day',
  ])
  const { dims } = textEncoder
  for (const [index, published] of [0.6946, 0.9429, 0.2569].entries()) {
    let similarity = 0
    for (let axis = 0; axis < dims; axis += 1) similarity += rows[axis]! * rows[(index + 1) * dims + axis]!
    assert.ok(Math.abs(similarity - published) < 0.01, `${similarity}, not ${published}`)
  }
})

test('a long text is cut to the limit of its tower and keeps its end token', async (context) => {
  const profile = await loadProfile('embedded', nowhere)
  context.after(() => profile.dispose())
  const tokens = profile.textEncoder.tokenize('piano '.repeat(1000))
  assert.equal(tokens.length, 256)
  assert.deepEqual([tokens[0], tokens.at(-1)], [101, 102]) // [CLS], [SEP]
  assert.deepEqual(profile.textEncoder.tokenize(''), [101, 102])
})

test('a profile that was not pulled costs nothing until an encoder is asked for, which says what to run', async () => {
  const profile = await loadProfile('paper', nowhere)
  assert.equal(profile.manifest.encoders.video.columns.feature?.[1], 512)
  assert.throws(() => profile.imageEncoder, { code: 'model-unpinned', message: /cuestream models pull paper/ })
})

test('CLIP words are lower-cased, put between start and end, and filled up to 77 with the end token', async (context) => {
  const folder = await temporaryFolder(context)
  await writePaperFiles(path.join(folder, 'paper'))
  const location = { repositoryModels, folder }
  await pullProfile(await readProfile('paper', repositoryModels), { ...location, offline: true })
  const profile = await loadProfile('paper', location)
  context.after(() => profile.dispose())
  const { textEncoder } = profile
  assert.deepEqual(textEncoder.tokenize('Calm  MUSIC'), [24, 19, 23, 25])
  assert.deepEqual(textEncoder.tokenize(''), [24, 25])
  const long = textEncoder.tokenize('calm '.repeat(200))
  assert.deepEqual([long.length, long[0], long[75], long[76]], [77, 24, 19, 25])
  assert.deepEqual(await textEncoder.encode(['calm music']), await textEncoder.encode(['CALM music']))
})

test('CLIP pictures are scaled and normalised by channel before they reach the graph', async (context) => {
  const folder = await temporaryFolder(context)
  await writePaperFiles(path.join(folder, 'paper'))
  const location = { repositoryModels, folder }
  await pullProfile(await readProfile('paper', repositoryModels), { ...location, offline: true })
  const profile = await loadProfile('paper', location)
  context.after(() => profile.dispose())
  // The test's graph is a known matrix times the mean of each plane.
  const pixels = new Uint8Array(224 * 224 * 3).map((_, index) => [255, 128, 0][index % 3]!)
  const means = [(1 - 0.48145466) / 0.26862954, (128 / 255 - 0.4578275) / 0.26130258, -0.40821073 / 0.27577711]
  const row = await profile.imageEncoder.encode(pixels, 1)
  for (const column of [0, 1, 300, 511]) {
    const weight = (channel: number) => Math.sin((channel * 512 + column) * 12.9898 + 1)
    const expected = means.reduce((sum, mean, channel) => sum + mean * weight(channel), 0)
    assert.ok(Math.abs(row[column]! - expected) < 1e-3, `column ${column}: ${row[column]}, not ${expected}`)
  }
})

test('a file put in place of a recorded one is refused by name', async (context) => {
  const folder = await temporaryFolder(context)
  await writePaperFiles(path.join(folder, 'paper'))
  const location = { repositoryModels, folder }
  const manifest = await readProfile('paper', repositoryModels)
  await pullProfile(manifest, { ...location, offline: true })
  await writeFile(path.join(folder, 'paper/vision_model.onnx'), imageGraph(500))
  const profile = await loadProfile('paper', location)
  context.after(() => profile.dispose())
  const encoding = profile.imageEncoder.encode(new Uint8Array(224 * 224 * 3), 1)
  await assert.rejects(encoding, { code: 'model-tampered', message: /vision_model\.onnx/ })
  const checks = await verifyProfile(manifest, location)
  assert.deepEqual(
    checks.filter(({ status }) => status !== 'ok').map(({ name, status }) => [name, status]),
    [['vision_model.onnx', 'tampered']],
  )
})

test('a graph of the wrong width for its profile is refused with both widths', async (context) => {
  const folder = await temporaryFolder(context)
  await writePaperFiles(path.join(folder, 'paper'))
  await writeFile(path.join(folder, 'paper/vision_model.onnx'), imageGraph(500))
  const location = { repositoryModels, folder }
  await pullProfile(await readProfile('paper', repositoryModels), { ...location, offline: true })
  const profile = await loadProfile('paper', location)
  context.after(() => profile.dispose())
  const encoding = profile.imageEncoder.encode(new Uint8Array(224 * 224 * 3), 1)
  await assert.rejects(encoding, { code: 'model-interface', message: /\[batch,500\], not \[batch, 512\]/ })
})

test('an encoder’s sha256 changes when one of its files does, and only then', async (context) => {
  const folder = await temporaryFolder(context)
  const location = { repositoryModels, folder }
  const hashes = async () => {
    await rm(path.join(folder, 'paper/lock.json'), { force: true })
    await pullProfile(await readProfile('paper', repositoryModels), { ...location, offline: true })
    const { imageEncoder, textEncoder } = await loadProfile('paper', location)
    return [imageEncoder.sha256, textEncoder.sha256]
  }
  await writePaperFiles(path.join(folder, 'paper'))
  const before = await hashes()
  await writeFile(path.join(folder, 'paper/vision_model.onnx'), imageGraph(500))
  const afterwards = await hashes()
  assert.notEqual(before[0], afterwards[0])
  assert.equal(before[1], afterwards[1])
})
