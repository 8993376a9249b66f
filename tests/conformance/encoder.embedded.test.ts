import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { loadProfile } from '../../adapters/onnx/load-profile.ts'
import { encoderConformance } from './encoder.ts'

const profile = loadProfile('embedded', {
  repositoryModels: fileURLToPath(new URL('../../models', import.meta.url)),
  folder: '/nonexistent',
})
after(async () => (await profile).dispose())

encoderConformance('embedded profile', () => profile)
