import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const install = fileURLToPath(new URL('../../../adapters/local-model/install.ts', import.meta.url))

test('a folder that holds something else is refused, and nothing of it is lost', () => {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'my-model.gguf'), 'GGUF')
  const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', install, '--folder', folder], {
    encoding: 'utf8',
  })
  assert.equal(status, 2)
  assert.match(stderr, /holds something else/)
  assert.ok(existsSync(join(folder, 'my-model.gguf')))
})

test('every package that is not for another platform alone is pinned by hash', () => {
  const lock = JSON.parse(readFileSync(join(install, '../install/package-lock.json'), 'utf8')) as {
    packages: Record<string, { integrity?: string; optional?: boolean }>
  }
  const loose = Object.entries(lock.packages).filter(([name, { integrity }]) => name !== '' && integrity === undefined)
  assert.ok(
    loose.every(([name, { optional }]) => optional === true && name.includes('@node-llama-cpp/')),
    `${loose}`,
  )
})
