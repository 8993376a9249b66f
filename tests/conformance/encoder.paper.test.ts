import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readProfile } from '../../adapters/models/profile.ts'
import { pullProfile } from '../../adapters/models/pull.ts'
import { loadProfile } from '../../adapters/onnx/load-profile.ts'
import { writePaperFiles } from '../support/paper-graphs.ts'
import { encoderConformance } from './encoder.ts'

const repositoryModels = fileURLToPath(new URL('../../models', import.meta.url))

/** The `paper` profile over graphs of the real ones' shapes, put there by hand and recorded by an offline pull. */
async function paperProfile() {
  const folder = await mkdtemp(path.join(tmpdir(), 'cuestream-paper-'))
  await writePaperFiles(path.join(folder, 'paper'))
  await pullProfile(await readProfile('paper', repositoryModels), { repositoryModels, folder, offline: true })
  const profile = await loadProfile('paper', { repositoryModels, folder })
  after(async () => {
    await profile.dispose()
    await rm(folder, { recursive: true })
  })
  return profile
}

const profile = paperProfile()
encoderConformance('paper profile', () => profile)
