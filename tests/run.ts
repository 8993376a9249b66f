/**
 * Runs the tests and closes with one line: `N passed, N failed, N skipped`.
 *
 *     node --import tsx tests/run.ts [folder or file …]      all of tests/ by default
 */
import { readdirSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

const wanted = process.argv.slice(2)
const files = (wanted.length > 0 ? wanted : ['tests']).flatMap((path) =>
  statSync(path).isDirectory()
    ? readdirSync(path, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.test.ts'))
        .map((name) => join(path, name))
    : [path],
)
const count = { passed: 0, failed: 0, skipped: 0 }
const stream = run({ files: files.sort(), concurrency: Math.max(1, availableParallelism() - 1), timeout: 10 * 60_000 })

stream.on('test:pass', ({ skip, todo, details }) => {
  if (details.type === 'suite') return
  if (skip !== undefined || todo !== undefined) count.skipped++
  else count.passed++
})
stream.on('test:fail', ({ details }) => {
  // A suite fails with its tests; alone it fails by a hook.
  const cause = (details.error as { failureType?: string }).failureType
  if (details.type !== 'suite' || cause !== 'subtestsFailed') count.failed++
})
stream.pipe(new spec()).pipe(process.stdout)
stream.on('end', () => {
  if (count.passed === 0) count.failed++
  process.exitCode = count.failed > 0 ? 1 : 0
  setImmediate(() =>
    process.stdout.write(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`),
  )
})
