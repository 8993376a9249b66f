/**
 * Starts services as its argument (JSON) says, prints their addresses and process ids as one line of JSON, and waits to
 * be killed. Exit code 2 with the message where they cannot be had.
 */
import { CuestreamError } from '../../ports/errors.ts'
import { type ServicesOptions, startServices } from '../../services/start-services.ts'

const options = JSON.parse(process.argv[2] ?? '{}') as ServicesOptions

try {
  const services = await startServices({ ...options, progress: (line) => process.stderr.write(`${line}\n`) })
  const { rung } = services
  const handles = (options.want ?? (['kafka', 'registry', 'redis'] as const)).map((name) => services[name])
  process.stdout.write(
    `${JSON.stringify({ rung, services: handles.map(({ name, port, pid }) => ({ name, port, pid })) })}\n`,
  )
  setInterval(() => {}, 60_000)
} catch (error) {
  if (!(error instanceof CuestreamError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 2
}
