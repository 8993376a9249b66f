/**
 * Runs the tests and closes with one line: `N passed, N failed, N skipped`.
 *
 *     node --import tsx tests/run.ts [folder or file …]      all of tests/ by default
 *
 * Where a file wants real servers, Kafka, the schema registry and Redis are started once for the whole run. Where they
 * cannot be had, those files are skipped, one each, and the reason is printed; with CUESTREAM_TEST_SERVICES=required, as
 * in CI, that is a failure.
 */
import { readdirSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { SetupError } from '../ports/errors.ts'
import { type Services, startServices } from '../services/start-services.ts'
import { wantsServices } from './support/imports.ts'
import { TEST_SERVICES } from './support/services.ts'

const wanted = process.argv.slice(2)
const all = (wanted.length > 0 ? wanted : ['tests']).flatMap((path) =>
  statSync(path).isDirectory()
    ? readdirSync(path, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.test.ts'))
        .map((name) => join(path, name))
    : [path],
)
const count = { passed: 0, failed: 0, skipped: 0 }
const closing: string[] = []

const required = process.env.CUESTREAM_TEST_SERVICES === 'required'
const needy = all.filter((file) => wantsServices(resolve(file)))
const services = needy.length > 0 ? await sharedServices() : undefined
// The products that tests start choose embedded adapters unless a test tells them otherwise.
for (const name of ['KAFKA_BROKERS', 'SCHEMA_REGISTRY_URL', 'REDIS_URL']) delete process.env[name]
const files = needy.length > 0 && services === undefined ? all.filter((file) => !needy.includes(file)) : all

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
stream.on('end', async () => {
  if (count.passed === 0) count.failed++
  process.exitCode = count.failed > 0 ? 1 : 0
  await services?.stop()
  for (const line of closing) process.stdout.write(`\n${line}\n`)
  process.stdout.write(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`)
})

/** Started, or given by the environment, and handed to the test files in a variable of their own. */
async function sharedServices(): Promise<Services | undefined> {
  try {
    const started = await startServices({ progress: (line) => process.stdout.write(`${line}\n`) })
    const { rung, kafkaBrokers, schemaRegistryUrl, redisUrl } = started
    process.env[TEST_SERVICES] = JSON.stringify({ rung, kafkaBrokers, schemaRegistryUrl, redisUrl })
    closing.push(`Real services: ${rung}, for ${needy.length} of ${all.length} files`)
    return started
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    const outcome = required ? 'not run, though CUESTREAM_TEST_SERVICES=required' : 'skipped'
    closing.push(`${needy.length} of ${all.length} files want real services and were ${outcome}.\n${error.message}`)
    if (required) count.failed += needy.length
    else count.skipped += needy.length
    return undefined
  }
}
