import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseProfile, readProfile } from '../../../adapters/models/profile.ts'
import { pullProfile } from '../../../adapters/models/pull.ts'
import { loadProfile } from '../../../adapters/onnx/load-profile.ts'
import { encoderIdsOf } from '../../../cli/profile-releases.ts'
import { hearingOf } from '../../../processors/analyse-music/hearing.ts'
import { writePaperFiles } from '../../support/paper-graphs.ts'

const repositoryModels = fileURLToPath(new URL('../../../models', import.meta.url))

async function temporaryFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'cuestream-mapping-'))
  context.after(() => rm(folder, { recursive: true }))
  return folder
}

const paperJson = async () => JSON.parse(await readFile(path.join(repositoryModels, 'profiles/paper.json'), 'utf8'))

/** A mapping that takes the labels by name, with its own thresholds. */
const own = (genre: number) => ({
  kind: 'by-name',
  about: 'own',
  rate: 0.5,
  moodLabelWeight: 1,
  thresholds: { instrument: 0.5, genre, mood: 0.5, vocals: 0.5 },
  calibration: null,
})

/** The paper's profile with a mapping of its own, pulled. */
async function ownProfile(folder: string, mapping: object): Promise<string> {
  const json = await paperJson()
  json.id = 'own'
  json.files.push({ ...json.files.at(-1), name: 'my-mapping.json', source: 'a test' })
  json.encoders.music.mapping = { file: 'my-mapping.json' }
  await mkdir(path.join(folder, 'own'), { recursive: true })
  await writePaperFiles(path.join(folder, 'own'))
  await writeFile(path.join(folder, 'own/my-mapping.json'), JSON.stringify(mapping))
  const manifest = path.join(folder, 'own.json')
  await writeFile(manifest, JSON.stringify(json))
  await rm(path.join(folder, 'own/lock.json'), { force: true })
  await pullProfile(await readProfile(manifest, repositoryModels), { repositoryModels, folder, offline: true })
  return manifest
}

test('the paper’s profile takes the operator’s labels by name', async (context) => {
  const folder = await temporaryFolder(context)
  await writePaperFiles(path.join(folder, 'paper'))
  const location = { repositoryModels, folder }
  await pullProfile(await readProfile('paper', repositoryModels), { ...location, offline: true })
  const profile = await loadProfile('paper', location)
  context.after(() => profile.dispose())
  const hearing = hearingOf(profile.musicEncoder)
  assert.equal(hearing.tags.length, 89)
  assert.ok(hearing.tags.every(({ evidence }) => evidence.length === 1))
})

test('a mapping may be a file of the profile, and is hashed like the others', async (context) => {
  const folder = await temporaryFolder(context)
  const location = { repositoryModels, folder }
  const manifest = await ownProfile(folder, own(0.3))
  const profile = await loadProfile(manifest, location)
  context.after(() => profile.dispose())
  assert.equal(hearingOf(profile.musicEncoder).thresholds.genre, 0.3)
  assert.match(encoderIdsOf(profile).music, /^operator-music-tagger@1\+hearing@\d+\+[0-9a-f]{8}$/)
  const { sha256 } = profile.musicEncoder

  await writeFile(path.join(folder, 'own/my-mapping.json'), JSON.stringify(own(0.4)))
  const tampered = await loadProfile(manifest, location)
  assert.throws(() => tampered.musicEncoder, { code: 'model-tampered', message: /my-mapping\.json/ })

  const changed = await loadProfile(await ownProfile(folder, own(0.4)), location)
  context.after(() => changed.dispose())
  assert.notEqual(changed.musicEncoder.sha256, sha256)
})

test('a mapping that does not fit its tagger names the file', async (context) => {
  const folder = await temporaryFolder(context)
  const profile = await loadProfile(await ownProfile(folder, { ...own(0.3), rate: 1 }), { repositoryModels, folder })
  context.after(() => profile.dispose())
  assert.throws(() => encoderIdsOf(profile), { code: 'bad-mapping', message: /my-mapping\.json[\s\S]*rate: / })
})

test('a profile whose mapping is unknown, or no file of its own, is refused', async () => {
  const json = await paperJson()
  json.encoders.music.mapping = 'discogs'
  assert.throws(() => parseProfile(json, 'p.json'), /encoders\.music\.mapping: must be "musicnn"/)
  json.encoders.music.mapping = { file: 'elsewhere.json' }
  assert.throws(() => parseProfile(json, 'p.json'), /uses the file "elsewhere\.json"/)
})
