import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { bareEnvironment } from '../../../adapters/local-model/bare-environment.ts'
import { checkGguf } from '../../../adapters/local-model/gguf.ts'
import { loadLocalModel } from '../../../adapters/local-model/load.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const folder = temporaryFolder()

function file(name: string, { magic = 'GGUF', version = 3, tensors = 2n, metadata = 1n, bytes = 100 } = {}): string {
  const content = Buffer.alloc(Math.max(24, bytes))
  content.write(magic, 'latin1')
  content.writeUInt32LE(version, 4)
  content.writeBigUInt64LE(tensors, 8)
  content.writeBigUInt64LE(metadata, 16)
  const path = join(folder, name)
  writeFileSync(path, content.subarray(0, bytes))
  return path
}

test('a file with the header of a model is taken, a link to it too', async () => {
  const path = file('whole.gguf')
  symlinkSync(path, join(folder, 'link.gguf'))
  await checkGguf(path)
  await checkGguf(join(folder, 'link.gguf'))
})

test('what cannot be a model is refused before anything loads it, with the reason', async () => {
  mkdirSync(join(folder, 'folder.gguf'))
  const refused: [string, RegExp][] = [
    [join(folder, 'absent.gguf'), /does not exist/],
    [join(folder, 'folder.gguf'), /is no file/],
    ['/dev/zero', /is no file/],
    [file('short.gguf', { bytes: 10 }), /has 10 bytes/],
    [file('other.gguf', { magic: 'PK\u0003\u0004' }), /does not begin with GGUF/],
    [file('old.gguf', { version: 1 }), /version 1/],
    [file('big-endian.gguf', { version: 0x03000000 }), /version 50331648/],
    [file('cut.gguf', { tensors: 1_000n }), /is cut off/],
    [file('huge.gguf', { metadata: 2n ** 64n - 1n }), /is cut off/],
  ]
  for (const [path, message] of refused) await assert.rejects(checkGguf(path), { code: 'bad-gguf', message })
})

test('where node-llama-cpp is not installed, the message names the command that installs it', async () => {
  const options = { contextTokens: 512, parallel: 1, warn: assert.fail, folder: join(folder, 'nothing') }
  await assert.rejects(loadLocalModel({ ...options, gguf: file('model.gguf') }), {
    code: 'no-local-model',
    message: /npm run local-model:install -- --folder/,
  })
})

test('nothing but what programs need to run stays in the environment', () => {
  const env = { PATH: '/bin', Path: 'C:\\', HOME: '/home/a', KAFKA_SASL_PASSWORD: 'secret', NODE_LLAMA_CPP_GPU: 'cuda' }
  bareEnvironment(env)
  assert.deepEqual(env, { PATH: '/bin', Path: 'C:\\', HOME: '/home/a' })
})
