import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { wantsServices } from '../../support/imports.ts'

const tests = fileURLToPath(new URL('../..', import.meta.url))
const of = (file: string) => wantsServices(join(tests, file))

test('a test file wants real servers if it imports their addresses or the ladder, or something of tests/ that does', () => {
  const folder = mkdtempSync(join(tests, 'integration', 'imports-'))
  after(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'deep'))
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  write('direct.ts', `import { testServices } from '../../support/services.ts'`)
  write('ladder.ts', `const { startServices } = await import("../../../services/start-services.ts")`)
  write('by-another.ts', `import {\n  testServices,\n} from './deep/circle.ts'`)
  write('deep/circle.ts', `import '../by-another.ts'\nimport { x } from '../direct.ts'`)
  write('none.ts', `import { artefacts } from '../../../services/artefacts.ts'\nimport 'kafkajs'`)
  const want = (name: string) => wantsServices(join(folder, name))
  assert.deepEqual(['direct.ts', 'ladder.ts', 'by-another.ts', 'none.ts'].map(want), [true, true, true, false])
})

test('the conformance suites of real servers want them, those of embedded adapters and unit tests do not', () => {
  assert.ok(of('conformance/schema-registry.confluent.test.ts'))
  assert.ok(!of('conformance/schema-registry.embedded.test.ts'))
  assert.ok(!of('unit/services/ladder.test.ts'))
})
