import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { missingFromLock } from '../../support/complete-lockfile.ts'

test('package-lock.json has every optional platform package, so that npm ci accepts it on each platform', () => {
  assert.deepEqual([...missingFromLock().missing.keys()], [], 'run `npm run lockfile`')
})

test('package-lock.json names no registry', () => {
  assert.ok(!readFileSync(new URL('../../../package-lock.json', import.meta.url), 'utf8').includes('"resolved"'))
})
